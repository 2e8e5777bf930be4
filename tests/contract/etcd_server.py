"""etcd processes for tests: on loopback, on free ports, in a directory of their own, ended by their id."""

import shutil
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tests.free_ports import free_ports

REPOSITORY = Path(__file__).parents[2]
START_TIMEOUT_S = 30.0


def binaries(release: str) -> Path | None:
    """Return where etcd and etcdctl are, installed or unpacked by ``deploy/etcd/fetch``; None if they are not."""
    if release == "installed":
        found = shutil.which("etcd")
        return Path(found).parent if found else None
    unpacked = REPOSITORY / ".cache" / "etcd" / release / "usr" / "bin"
    return unpacked if (unpacked / "etcd").exists() else None


@dataclass(frozen=True)
class Tls:
    """The files of one member, which wants a certificate of its clients too."""

    ca_file: Path
    cert_file: Path
    key_file: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """How etcd is told."""
        files = ("--cert-file", str(self.cert_file), "--key-file", str(self.key_file))
        return (*files, "--client-cert-auth", "--trusted-ca-file", str(self.ca_file))


@dataclass
class EtcdServer:
    """One member. Its directory outlives a stop, so a second start finds what the first one kept."""

    binaries: Path
    directory: Path
    flags: tuple[str, ...] = ()
    """Added to the command line; the later of two equal flags wins."""
    name: str = "one"
    tls: Tls | None = None
    ports: list[int] = field(default_factory=lambda: free_ports(3))
    """For clients, for the other members, for its health."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> tuple[str, int]:
        """Where clients connect."""
        return ("127.0.0.1", self.ports[0])

    @property
    def peer(self) -> str:
        """How another member is told of this one."""
        return f"{self.name}=http://127.0.0.1:{self.ports[1]}"

    def start(self) -> None:
        """Start the process; it may take a moment to be ready."""
        client, peer, health = self.ports
        address = f"{'https' if self.tls else 'http'}://127.0.0.1:{client}"
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    str(self.binaries / "etcd"),
                    *("--name", self.name, "--data-dir", str(self.directory / "data")),
                    *("--listen-client-urls", address, "--advertise-client-urls", address),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-cluster", self.peer, "--listen-metrics-urls", f"http://127.0.0.1:{health}"),
                    *(self.tls.flags if self.tls else ()),
                    *self.flags,
                ],
                stdout=log,
                stderr=log,
            )

    def wait_ready(self) -> None:
        """Wait until the member has a leader."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._healthy():
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"etcd did not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process; a frozen or dead one too."""
        self.thaw()
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop the process without ending it: its connections stay open and answer nothing."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._send(signal.SIGCONT)

    def etcdctl(self, *words: str) -> str:
        """Run etcdctl against this member and return what it printed."""
        command = [str(self.binaries / "etcdctl"), f"--endpoints=127.0.0.1:{self.ports[0]}", *words]
        done = subprocess.run(command, env={"ETCDCTL_API": "3"}, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    def started_calls(self, method: str) -> int:
        """Return how often clients called a method of etcd's API, by etcd's own count."""
        needle = f'grpc_server_started_total{{grpc_method="{method}"'
        lines = self._page("metrics").splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(needle))

    def _healthy(self) -> bool:
        try:
            return '"true"' in self._page("health")
        except OSError:
            return False

    def _page(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[2]}/{name}", timeout=1) as answer:
            text: str = answer.read().decode()
            return text

    def _send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._send(number)
        if self.process is not None:
            self.process.wait(timeout=30)
