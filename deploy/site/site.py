"""One site: the surface that the command line, tests and demonstrations stand on."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from deploy.site import building, machine, network, process, services
from deploy.site.accounts import users_with_homes
from deploy.site.errors import SiteError
from deploy.site.folder import all_names, folder_of, remove, require_passable
from deploy.site.layout import NODES, STOPPABLE, SWITCH, Node, Options
from deploy.site.lock import is_site, locked
from deploy.site.node import NodeProcess, entering, run_in
from deploy.site.status import NodeStatus, look


class Site:
    """A whole cluster in namespaces of this machine, by its name. Making the object does nothing."""

    def __init__(self, name: str = "lab") -> None:
        self.name = name
        self.folder = folder_of(name)
        """Everything the site consists of on disk; `down` removes it."""
        self.nodes = {node.name: node for node in NODES}
        self.config_file = self.folder / "mw" / "config.json"
        """The middleware's configuration, with this site's addresses."""

    @property
    def home(self) -> Path:
        """Return the prefix of the users' home directories, which all nodes share."""
        return self.folder / "home"

    def up(self, options: Options | None = None) -> bool:
        """Make the site; return False if it was there already and is healthy.

        Raises:
            SiteError: the machine cannot hold a site, or there is one that is not as asked for.
        """
        machine.prepare()
        wanted = options or Options()
        with machine.plain_umask(), locked(self.folder):
            if building.read_options(self.folder) is None:
                require_passable(self.folder)
                building.build(self.folder, wanted)
                return True
        if building.read_options(self.folder) != wanted:
            raise SiteError(f"the site {self.name} is up with other options; take it down first")
        if not all(seen.healthy for seen in self.status()):
            raise SiteError(f"the site {self.name} is there but not healthy; look at `status`, or take it down")
        return False

    def down(self) -> bool:
        """Remove the site without a trace, also a half-made one; return False if there was none."""
        machine.require_root()
        if not is_site(self.folder):
            return False
        with locked(self.folder):
            process.end(self.folder / "nodes")
            remove(self.folder)
        return True

    def status(self) -> tuple[NodeStatus, ...]:
        """Return how every node is."""
        return look(self._firsts())

    def exec(
        self,
        node: str,
        argv: Sequence[str],
        user: str | None = None,
        *,
        stdin: str | None = None,
        timeout_s: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside a node and return its exit code and output.

        Raises:
            subprocess.TimeoutExpired: it took longer; it is dead then.
        """
        given = subprocess.PIPE if stdin is not None else subprocess.DEVNULL
        words = self.entering(node, argv, user)
        with NodeProcess(words, given, subprocess.PIPE, subprocess.PIPE) as running:
            try:
                out, err = running.communicate(stdin.encode() if stdin is not None else None, timeout_s)
            except BaseException:
                running.kill()
                raise
        return subprocess.CompletedProcess(
            list(argv), running.returncode, out.decode(errors="replace"), err.decode(errors="replace")
        )

    def popen(
        self,
        node: str,
        argv: Sequence[str],
        user: str | None = None,
        *,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> NodeProcess:
        """Start a program inside a node; its `kill`, `terminate` and `send_signal` reach the program itself."""
        return NodeProcess(self.entering(node, argv, user), stdin, stdout, stderr)

    def entering(self, node: str, argv: Sequence[str], user: str | None = None) -> list[str]:
        """Return the command that runs ``argv`` inside a node: as root in this folder, or as ``user`` at home."""
        first = self._first(self._node(node).name)
        folder = str(Path.cwd())
        if user is not None:
            homes = users_with_homes(str(self.folder), str(self.folder / "nodes" / node))
            folder = next((home for known, home in homes if known.name == user), "/")
        return entering(first, argv, folder, user)

    def reboot(self, node: str) -> None:
        """End everything that runs on a node and boot it anew; its disk stays."""
        chosen = self._node(node)
        with self._changing():
            process.end(self.folder / "nodes", {node})
            building.boot_node(self.folder, self._first(SWITCH.name), chosen)

    def partition(self, node: str) -> None:
        """Cut all links of a node."""
        network.cut(self._first(SWITCH.name), self._node(node))

    def heal(self, node: str) -> None:
        """Join all links of a node again."""
        network.join(self._first(SWITCH.name), self._node(node))

    def stop(self, node: str, service: str) -> None:
        """Make a service hang: SIGSTOP to all its processes on the node."""
        self._signal_service(node, service, process.freeze)

    def cont(self, node: str, service: str) -> None:
        """Let a stopped service go on."""
        self._signal_service(node, service, process.thaw)

    def kill(self, node: str, service: str) -> None:
        """Let a service crash: SIGKILL to all its processes on the node."""
        self._signal_service(node, service, process.kill)

    def start(self, node: str, service: str) -> None:
        """Start a service that was killed, and wait until it answers."""
        services.start(self._node(node), self._first(node), service, self.folder)

    def flush(self, gateway: str) -> None:
        """Remove all rules and chains of a gateway's nat and filter tables."""
        chosen = self._node(gateway)
        if not chosen.is_gateway:
            names = ", ".join(node.name for node in NODES if node.is_gateway)
            raise SiteError(f"{gateway} is not a gateway; there are: {names}", exit_code=2)
        run_in(self._first(gateway), services.FLUSH)

    def _signal_service(self, node: str, service: str, act: Callable[[int, str], int]) -> None:
        chosen = self._node(node)
        allowed = [name for name in chosen.services if name in STOPPABLE]
        if service not in allowed:
            there_are = ", ".join(allowed) or "none"
            raise SiteError(f"{node} has no service {service!r} to stop; there are: {there_are}", exit_code=2)
        if act(self._first(node), service) == 0:
            raise SiteError(f"{service} does not run on {node}")

    def _node(self, name: str) -> Node:
        if name not in self.nodes:
            raise SiteError(f"there is no node {name!r}; there are: {', '.join(self.nodes)}", exit_code=2)
        return self.nodes[name]

    def _first(self, node: str) -> int:
        firsts = self._firsts()
        if node not in firsts:
            raise SiteError(f"{node} of the site {self.name} does not run; a reboot starts it")
        return firsts[node]

    def _firsts(self) -> dict[str, int]:
        """Return the first processes of the running nodes, the switch among them."""
        machine.require_root()
        if not is_site(self.folder):
            names = ", ".join(all_names()) or "none"
            raise SiteError(f"there is no site {self.name!r}; there are: {names}")
        return process.first_processes(self.folder / "nodes")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._firsts()
        with locked(self.folder):
            yield
