"""A small network of its own for tests with real packets: a client, a gateway and two compute nodes.

Each is a network namespace. The nodes know no way to the client's network: an answer proves that the gateway
masquerades.
"""

import asyncio
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from reconciler.actuators.command import Command, Finished

CLIENT, GATEWAY, NODE_1, NODE_2 = "198.18.0.2", "198.18.0.1", "10.77.1.2", "10.77.2.2"
"""The client's, the gateway's public and the nodes' addresses; 198.18.0.0/15 is set aside for benchmarks (RFC 2544)."""

GATEWAY_INSIDE = {NODE_1: "10.77.1.1", NODE_2: "10.77.2.1"}
"""The gateway's address as each node sees it."""

PATIENCE_S = 2.0
"""How long a socket waits for what should come, or proves by waiting that nothing comes."""

CLONE_NEWNET = 0x40000000

SUDO = """#!/bin/sh
[ "$1" = -n ] && shift
allowed=$(dirname "$0")/$2
[ "$1" = -l ] && { [ -x "$allowed" ]; exit; }
exec "$@"
"""
"""Stands for sudo, and allows what is in the directory of stand-ins: the tests are about rules and packets."""


def missing() -> str:
    """Return what keeps the tests from running here; empty if nothing does."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    tools = ("ip", "iptables-nft", "iptables-legacy", "conntrack", "nc")
    return " ".join(f"{tool} is not installed" for tool in tools if shutil.which(tool) is None)


@dataclass
class Network:
    """The namespaces, and a way to run things in them."""

    tag: str
    tools: Path
    """A directory for the stand-ins, first in PATH."""
    backend: str
    """``nft`` or ``legacy``."""
    restore: bool = False
    """Whether iptables-restore is there to be used."""
    echoes: "list[Echo]" = field(default_factory=list)

    def __enter__(self) -> Self:
        self._write_tools()
        for role in ("c", "g", "n1", "n2"):
            _run("ip", "netns", "add", self.namespace(role))
            self.shell(role, "ip link set lo up")
        self._cable("c", f"{CLIENT}/24", f"{GATEWAY}/24")
        self._cable("n1", f"{NODE_1}/24", f"{GATEWAY_INSIDE[NODE_1]}/24")
        self._cable("n2", f"{NODE_2}/24", f"{GATEWAY_INSIDE[NODE_2]}/24")
        self.shell("g", "sysctl -qw net.ipv4.ip_forward=1")
        return self

    def __exit__(self, *_: object) -> None:
        for echo in self.echoes:
            echo.close()
        for role in ("c", "g", "n1", "n2"):
            _run("ip", "netns", "del", self.namespace(role))

    def namespace(self, role: str) -> str:
        """Return the name of the client's (c), the gateway's (g) or a node's (n1, n2) namespace."""
        return f"bwv-{self.tag}-{role}"

    def shell(self, role: str, script: str) -> str:
        """Run a script in a namespace and return what it prints."""
        return _run(*self.argv(role, "sh", "-c", script), env=self.environment)

    def argv(self, role: str, *argv: str) -> tuple[str, ...]:
        """Return the words that run something in a namespace."""
        return ("ip", "netns", "exec", self.namespace(role), *argv)

    @property
    def environment(self) -> dict[str, str]:
        """Return an environment in which iptables is the wanted one."""
        return {**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}:/usr/sbin:/sbin"}

    def connect(self, port: int, source: str = CLIENT) -> socket.socket:
        """Return a connection from one of the client's addresses to a port of the gateway."""
        connection = self.socket("c")
        connection.settimeout(PATIENCE_S)
        try:
            connection.bind((source, 0))
            connection.connect((GATEWAY, port))
        except OSError:
            connection.close()
            raise
        return connection

    def socket(self, role: str) -> socket.socket:
        """Return a new TCP socket that lives in a namespace: sockets stay where they were made."""
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(_socket_in, self.namespace(role)).result()

    def echo(self, role: str, ip: str, port: int) -> "Echo":
        """Start a server in a namespace that greets with its role and then echoes."""
        echo = Echo(self.socket(role), ip, port, role)
        self.echoes.append(echo)
        return echo

    def _write_tools(self) -> None:
        self.tools.mkdir(parents=True, exist_ok=True)
        (self.tools / "sudo").write_text(SUDO)
        (self.tools / "sudo").chmod(0o755)
        self.choose(self.backend)

    def choose(self, backend: str) -> None:
        """Let ``iptables`` be of this kind from now on, as an administrator may choose."""
        programs = {"iptables": f"iptables-{backend}"}
        if self.restore:
            programs["iptables-restore"] = f"iptables-{backend}-restore"
        for name, program in programs.items():
            (self.tools / name).unlink(missing_ok=True)
            (self.tools / name).symlink_to(shutil.which(program) or "")

    def _cable(self, role: str, address: str, gateway_address: str) -> None:
        end, far = f"v{self.tag}{role}", f"v{self.tag}{role}g"
        # Made where they belong: other tests look at what the machine's own network has.
        peer = ("peer", "name", far, "netns", self.namespace("g"))
        _run("ip", "-netns", self.namespace(role), "link", "add", end, "type", "veth", *peer)
        for name, where, its_address in ((end, role, address), (far, "g", gateway_address)):
            self.shell(where, f"ip address add {its_address} dev {name}; ip link set {name} up")


class Echo:
    """A server that greets every connection with its name and echoes; it keeps the connections it accepted."""

    def __init__(self, listener: socket.socket, ip: str, port: int, name: str) -> None:
        self._listener = listener
        self._name = name
        self.accepted: list[socket.socket] = []
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ip, port))
        listener.listen()
        threading.Thread(target=self._serve, name=f"echo {name}", daemon=True).start()

    def close(self) -> None:
        """Stop listening and hang up."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in (self._listener, *self.accepted):
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted.append(connection)
            connection.sendall(f"{self._name}\n".encode())
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


@dataclass(frozen=True)
class NamespaceNode:
    """Runs an actuator's commands in the gateway's namespace, as ssh would on a gateway."""

    network: Network

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Return what the command said once it ended."""
        process = await asyncio.create_subprocess_exec(
            *self.network.argv("g", *command.argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.network.environment,
        )
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate(command.stdin.encode())
        assert process.returncode is not None
        return Finished(process.returncode, stdout.decode(), stderr.decode())


def _echo(connection: socket.socket) -> None:
    try:
        while said := connection.recv(4096):
            connection.sendall(said)
    except OSError:
        return


def _socket_in(namespace: str) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{namespace}").open() as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    return socket.socket()


def _run(*argv: str, env: dict[str, str] | None = None) -> str:
    finished = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30, env=env)
    assert finished.returncode == 0, f"{argv}: {finished.stderr}"
    return finished.stdout
