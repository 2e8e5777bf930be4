"""Run commands on one node over one kept ssh connection; the only place that knows asyncssh."""

import asyncio
import contextlib
import os
import shlex
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import asyncssh

from reconciler.actuators.command import Command, Finished
from reconciler.config import Ssh
from reconciler.errors import UnexpectedOutput, Unreachable

if TYPE_CHECKING:
    _Channel = asyncssh.SSHClientChannel[bytes]
    _Session = asyncssh.SSHClientSession[bytes]
else:
    _Session = asyncssh.SSHClientSession

OUTPUT_LIMIT_BYTES = 16 << 20
"""stdout and stderr of one command together: a listing of 50,000 jobs fits, a runaway does not fill the memory."""

KEEPALIVES_UNANSWERED = 3
"""A connection that leaves this many unanswered is given up."""

KILL_AFTER_S = 2
"""timeout(1) on the node sends SIGKILL this long after SIGTERM."""

CLOSE_TIMEOUT_S = 2.0
"""How long saying goodbye may take."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node's sshd listens, and who logs in."""

    host: str
    port: int
    user: str


class Node:
    """One node: connected at the first command, and again after a loss."""

    def __init__(self, name: str, address: Address, ssh: Ssh) -> None:
        self.name = name
        self._address = address
        self._ssh = ssh
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._sessions = asyncio.Semaphore(ssh.sessions_per_node)

    @property
    def connected(self) -> bool:
        """Whether a connection is kept at the moment."""
        return self._connection is not None

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Return what a command said once it ended; the node itself stops it after ``timeout_s``.

        The bound on the node keeps a command from living on when the connection is cut.

        Raises:
            Unreachable: no connection, or it was cut or silent, or the command was killed: it may have had its effect.
            UnexpectedOutput: it said more than ``OUTPUT_LIMIT_BYTES``.
        """
        limit_s = self._ssh.connect_timeout_s + self._ssh.command_timeout_s
        try:
            async with asyncio.timeout(limit_s), self._sessions:
                connection = await self._connected()
                async with asyncio.timeout(self._ssh.command_timeout_s):
                    return await self._ask(connection, command, timeout_s)
        except TimeoutError as error:
            raise Unreachable(f"{self.name}: no answer in time to {command.argv[0]}") from error
        except (asyncssh.Error, OSError) as error:
            raise Unreachable(f"{self.name}: {_cause(error)}") from error

    async def close(self) -> None:
        """Hang up; a later command connects again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await connection.wait_closed()
        except TimeoutError:
            connection.abort()

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None:
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> asyncssh.SSHClientConnection:
        address, ssh = self._address, self._ssh
        try:
            async with asyncio.timeout(ssh.connect_timeout_s):
                connection, _ = await asyncssh.create_connection(
                    lambda: _Watcher(self),
                    address.host,
                    address.port,
                    username=address.user,
                    known_hosts=str(ssh.known_hosts_file),
                    client_keys=[str(ssh.private_key_file)],
                    keepalive_interval=ssh.keepalive_interval_s,
                    keepalive_count_max=KEEPALIVES_UNANSWERED,
                    preferred_auth="publickey",
                    agent_path=None,
                    config=None,
                )
        except TimeoutError as error:
            raise Unreachable(f"{self.name}: {address.host}:{address.port} lets nobody in in time") from error
        except (asyncssh.Error, OSError, ValueError) as error:
            raise Unreachable(f"{self.name}: {_cause(error)} ({address.user}@{address.host}:{address.port})") from error
        return connection

    async def _ask(self, connection: asyncssh.SSHClientConnection, command: Command, timeout_s: float) -> Finished:
        bounded = ("timeout", f"--kill-after={KILL_AFTER_S}", str(ceil(timeout_s)), *command.argv)
        capture = _Capture()
        channel, _ = await connection.create_session(lambda: capture, shlex.join(bounded), encoding=None)
        try:
            with contextlib.suppress(BrokenPipeError):  # it ended without reading: what it said still counts
                channel.write(command.stdin.encode())
                channel.write_eof()
            await channel.wait_closed()
        finally:
            channel.close()
        return capture.finished(self.name)

    def forget(self, connection: asyncssh.SSHClientConnection) -> None:
        """Connect again at the next command, unless that has happened already."""
        if self._connection is connection:
            self._connection = None


class _Watcher(asyncssh.SSHClient):
    """Tells its node when the connection is gone, at whichever moment."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._connection: asyncssh.SSHClientConnection | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        if self._connection is not None:
            self._node.forget(self._connection)


class _Capture(_Session):
    """Collects what one command says, up to a limit."""

    def __init__(self) -> None:
        self._said: dict[int | None, bytearray] = {None: bytearray(), asyncssh.EXTENDED_DATA_STDERR: bytearray()}
        self._exit_status: int | None = None
        self._signal = ""
        self._overflowed = False
        self._lost: Exception | None = None

    def connection_made(self, chan: "_Channel") -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._said[datatype].extend(data)
        if sum(map(len, self._said.values())) > OUTPUT_LIMIT_BYTES:
            self._overflowed = True
            self._channel.abort()

    def exit_status_received(self, status: int) -> None:
        self._exit_status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:  # noqa: ARG002 - asyncssh's signature
        self._signal = signal

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc

    def finished(self, node: str) -> Finished:
        """Return the whole of it; a command without an exit status of its own is not finished."""
        if self._overflowed:
            raise UnexpectedOutput(f"{node}: a command said more than {OUTPUT_LIMIT_BYTES} bytes")
        if self._signal:
            raise Unreachable(f"{node}: the command was killed by SIG{self._signal}")
        if self._exit_status is None:
            raise Unreachable(f"{node}: the connection was cut before the command ended") from self._lost
        stdout, stderr = (part.decode(errors="replace") for part in self._said.values())
        return Finished(self._exit_status, stdout, stderr)


def _cause(error: Exception) -> str:
    """Return why, in words that an operator can act on."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return f"its host key is not the one in known_hosts ({error})"
        case asyncssh.PermissionDenied():
            return f"it does not accept our key ({error})"
        case asyncssh.ChannelOpenError():
            return f"it opens no further session ({error})"
        case OSError(errno=int(number), filename=str(file)):
            return f"{file}: {os.strerror(number)}"
        case OSError(errno=int(number)):
            return f"cannot connect: {os.strerror(number)}"
        case _:
            return str(error) or type(error).__name__
