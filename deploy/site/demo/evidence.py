"""What the site's nodes say by themselves: none of it comes from the middleware whose claims it checks."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.site.demo.screen import claim
from deploy.site.errors import SiteError
from deploy.site.layout import NODES
from deploy.site.node import NodeProcess
from deploy.site.site import Site

PATIENCE_S = 30.0
_POLL_S = 0.1
_TALKER = """
import socket, sys, time
link = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
link.settimeout(0.01)
link.sendall(b"GET /")
print("open", flush=True)
try:
    while time.monotonic() < float(sys.argv[3]):
        link.sendall(b"a")
        try:
            if not link.recv(1):
                print(time.monotonic(), "closed")
                break
        except TimeoutError:
            pass
except OSError as error:
    print(time.monotonic(), type(error).__name__)
"""
"""Keeps one connection busy with a request that never ends, a byte each 10 ms, and prints when and how it was cut."""


@dataclass(frozen=True)
class Link:
    """Where a user goes, and where that leads."""

    ip: str
    port: int
    gateway: str
    """The site's node, not the middleware's name for it."""
    target_ip: str
    node: str

    @property
    def url(self) -> str:
        """Return the address for a browser."""
        return f"http://{self.ip}:{self.port}/"


@dataclass(frozen=True)
class Evidence:
    """Asks the nodes of one site."""

    site: Site

    def ask(self, node: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program on a node."""
        return self.site.exec(node, words)

    def connects(self, node: str, ip: str, port: int) -> bool:
        """Tell whether a connection from a node is taken."""
        return self.ask(node, "nc", "-z", "-w", "2", ip, str(port)).returncode == 0

    def rules(self, gateway: str) -> list[str]:
        """Return the rules that carry our mark or lead to one that does, with their packet counters.

        Raises:
            SiteError: iptables fails.
        """
        found = []
        for table in ("filter", "nat"):
            done = self.ask(gateway, "iptables", "-w", "-t", table, "-S", "-v")
            if done.returncode != 0:
                raise SiteError(f"iptables on {gateway}: {done.stderr.strip()}")
            found += [f"-t {table} {line}" for line in done.stdout.splitlines() if "BWV-" in line]
        return found

    def rules_for(self, link: Link) -> list[str]:
        """Return the rules that exist for this link only, on whichever gateway."""
        own = re.compile(rf"--(dport|ctorigdstport) {link.port} ")
        gateways = [node.name for node in NODES if node.is_gateway]
        return [rule for gateway in gateways for rule in self.rules(gateway) if own.search(rule)]

    def packets(self, link: Link, target: str) -> int:
        """Return how many packets met the rules with this target that the link's packets pass."""
        chosen = self.rules(link.gateway) if target == "REJECT" else self.rules_for(link)
        counts = [re.search(rf" -c (\d+) \d+ -j {target}\b", rule) for rule in chosen]
        return sum(int(count[1]) for count in counts if count is not None)

    def processes(self, node: str, slurm_id: int) -> list[str]:
        """Return the processes of a Slurm job on a node, by the variable that Slurm gives each of them."""
        script = f"grep -slzx SLURM_JOB_ID={slurm_id} /proc/[0-9]*/environ"
        return self.ask(node, "sh", "-c", script).stdout.split()

    def queued(self, job: str) -> list[str]:
        """Return the Slurm jobs of a job that wait, run or end, as Slurm itself lists them.

        Raises:
            SiteError: squeue fails.
        """
        done = self.ask("cmd1", "squeue", "-h", "-n", f"bwvisu-main-{job}", "-o", "%i %u %T %N")
        if done.returncode != 0:
            raise SiteError(f"squeue: {done.stderr.strip()}")
        return done.stdout.splitlines()

    @contextmanager
    def hanging(self, node: str, service: str) -> Iterator[None]:
        """Let a service hang while the block runs."""
        self.site.stop(node, service)
        try:
            yield
        finally:
            self.site.cont(node, service)

    @contextmanager
    def conversation(self, link: Link) -> Iterator[NodeProcess]:
        """Keep one connection from outside to the application busy until it is cut."""
        deadline = time.monotonic() + 2 * PATIENCE_S
        words = ["python3", "-c", _TALKER, link.ip, str(link.port), str(deadline)]
        with self.site.popen("outside", words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as talker:
            try:
                assert talker.stdout is not None  # noqa: S101 - it was opened with a pipe
                if talker.stdout.readline() != b"open\n":
                    raise SiteError(f"no connection to {link.ip}:{link.port} from outside")
                yield talker
            finally:
                talker.kill()


def cut(talker: NodeProcess) -> tuple[float, str]:
    """Return when, in monotonic seconds, a conversation was cut, and how.

    Raises:
        SiteError: it was not.
    """
    try:
        out, _ = talker.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise SiteError("the connection that was open before the delete still passes") from error
    at, _, how = out.decode().strip().partition(" ")
    return float(at), how


def settle(look: Callable[[], list[str]], sentence: str) -> None:
    """Wait until a look finds nothing any more, then say the sentence.

    Raises:
        SiteError: it still finds something after a while.
    """
    deadline = time.monotonic() + PATIENCE_S
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    claim(not found, sentence, "; ".join(found))
