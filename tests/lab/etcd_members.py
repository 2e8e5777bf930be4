"""An etcd of three members on the middleware's host, with certificates, users and a role, as a careful site runs it."""

import json
import time
from pathlib import Path

from deploy.site import NodeProcess, Site
from deploy.site.daemons import HOST
from tests.contract.certificates import Authority
from tests.contract.etcd_server import Tls

NAMES = ("one", "two", "three")
FIRST_PORT = 12379
USER, PASSWORD = "bwvisu", "a-password-of-the-test"
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
        """What etcdctl needs to be let in everywhere."""
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
        environment = [f"{key}={value}" for key, value in self.environment.items()]
        done = self._site.exec(HOST, ["env", "ETCDCTL_API=3", *environment, "etcdctl", *words])
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
        """Let in whoever has the password, and to our prefix only."""
        for name, password in (("root", "secret"), (USER, PASSWORD)):
            self.etcdctl("user", "add", f"{name}:{password}")
        self.etcdctl("role", "add", "site")
        self.etcdctl("role", "grant-permission", "site", "--prefix=true", "readwrite", "/bwvisu/")
        self.etcdctl("user", "grant-role", USER, "site")
        self.etcdctl("user", "grant-role", "root", "root")
        self.etcdctl("auth", "enable")

    def configure(self) -> None:
        """Tell API and controller."""
        password: Path = self._folder / "password"
        password.touch(0o600)
        password.write_text(PASSWORD)
        config = json.loads(self._site.config_file.read_text())
        config["etcd-servers"] = [{"ip": "127.0.0.1", "port": _port(name)} for name in NAMES]
        config["etcd"] = {
            "user": USER,
            "password-file": str(password),
            "ca-file": str(self.client.ca_file),
            "cert-file": str(self.client.cert_file),
            "key-file": str(self.client.key_file),
        }
        self._site.config_file.write_text(json.dumps(config, indent=4))


def _port(name: str) -> int:
    return FIRST_PORT + 10 * NAMES.index(name)


def _peer(name: str) -> str:
    return f"http://127.0.0.1:{_port(name) + 1}"
