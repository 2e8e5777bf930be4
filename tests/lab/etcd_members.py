"""An etcd of three members on the middleware's host, with certificates and a user for each daemon."""

import json
import time
from pathlib import Path

from deploy.site import NodeProcess, Site
from deploy.site.daemons import HOST
from deploy.site.machine import CHECKOUT
from tests.contract.certificates import Authority
from tests.contract.etcd_server import Tls

NAMES = ("one", "two", "three")
FIRST_PORT = 12379
ROOT, API, CONTROLLER = "root", "bwvisu-api", "bwvisu-controller"
PASSWORDS = {name: f"a-password-of-{name}" for name in (ROOT, API, CONTROLLER)}
PATIENCE_S = 30.0


class Members:
    """Starts and kills the members; their directories outlive that."""

    def __init__(self, site: Site) -> None:
        self.processes: dict[str, NodeProcess] = {}
        self._site = site
        self._folder = site.config_file.parent / "members"
        authority = Authority(self._folder)
        self._tls = {name: authority.issue(name) for name in (*NAMES, "client")}

    @property
    def client(self) -> Tls:
        """The certificate of whoever connects."""
        return self._tls["client"]

    @property
    def environment(self) -> dict[str, str]:
        """What etcdctl needs to be let in as far as certificates go."""
        return {
            "ETCDCTL_ENDPOINTS": ",".join(f"https://127.0.0.1:{_port(name)}" for name in NAMES),
            "ETCDCTL_CACERT": str(self.client.ca_file),
            "ETCDCTL_CERT": str(self.client.cert_file),
            "ETCDCTL_KEY": str(self.client.key_file),
        }

    def start(self, *names: str) -> None:
        """Start the named members, by default all."""
        everybody = ",".join(f"{name}={_peer(name)}" for name in NAMES)
        for name in names or NAMES:
            client = f"https://127.0.0.1:{_port(name)}"
            words = ["etcd", "--name", name, "--data-dir", str(self._folder / f"{name}.data")]
            words += ["--listen-client-urls", client, "--advertise-client-urls", client]
            words += ["--listen-peer-urls", _peer(name), "--initial-advertise-peer-urls", _peer(name)]
            words += ["--initial-cluster", everybody, *self._tls[name].flags]
            with (self._folder / f"{name}.log").open("ab") as log:
                self.processes[name] = self._site.popen(HOST, words, stdout=log, stderr=log)

    def kill(self, *names: str) -> None:
        """End the named members, by default all, as a power cut would."""
        for name in names or tuple(self.processes):
            process = self.processes.pop(name)
            process.kill()
            process.wait()

    def etcdctl(self, *words: str) -> str:
        """Return what etcdctl prints, before anybody needs a password."""
        return self._run("etcdctl", *words)

    def _run(self, *words: str) -> str:
        environment = [f"{key}={value}" for key, value in self.environment.items()]
        done = self._site.exec(HOST, ["env", "ETCDCTL_API=3", *environment, *words])
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout

    def wait_ready(self) -> None:
        """Wait until they have elected a leader."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.etcdctl("get", "ready")
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    def lock(self) -> None:
        """Give each daemon a user with its own rights, as an operator does, and let in nobody else."""
        for name, password in PASSWORDS.items():
            self._password_file(name).touch(0o600)
            self._password_file(name).write_text(password)
        files = [str(self._password_file(name)) for name in (API, CONTROLLER)]
        self._run(str(CHECKOUT / "deploy" / "etcd" / "roles"), "/bwvisu", *files)
        self.etcdctl("user", "add", f"{ROOT}:{PASSWORDS[ROOT]}")
        self.etcdctl("user", "grant-role", ROOT, ROOT)
        self.etcdctl("auth", "enable")

    def configure(self) -> None:
        """Tell API and controller."""
        config = json.loads(self._site.config_file.read_text())
        config["etcd-servers"] = [{"ip": "127.0.0.1", "port": _port(name)} for name in NAMES]
        config["etcd"] = {
            "user": CONTROLLER,
            "password-file": str(self._password_file(CONTROLLER)),
            "ca-file": str(self.client.ca_file),
            "cert-file": str(self.client.cert_file),
            "key-file": str(self.client.key_file),
        }
        config["api"] |= {"etcd-user": API, "etcd-password-file": str(self._password_file(API))}
        self._site.config_file.write_text(json.dumps(config, indent=4))

    def _password_file(self, user: str) -> Path:
        return Path(self._folder / f"{user}.password")


def _port(name: str) -> int:
    return FIRST_PORT + 10 * NAMES.index(name)


def _peer(name: str) -> str:
    return f"http://127.0.0.1:{_port(name) + 1}"
