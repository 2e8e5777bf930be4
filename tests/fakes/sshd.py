"""A real ssh server in this process, and a cable to it that can be frozen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

import asyncssh

Process = asyncssh.SSHServerProcess[str]
HOST_KEY, OUR_KEY = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))


@dataclass
class Sshd:
    """An ssh server in this process that hands each command to a function."""

    answer: Callable[[Process], Awaitable[None]]
    port: int = 0
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    at_once: int = 0
    at_once_max: int = 0
    opens_sessions: asyncio.Event = field(default_factory=asyncio.Event)
    live: list[asyncssh.SSHServerConnection] = field(default_factory=list)

    async def serve(self, process: Process) -> None:
        """Answer one command."""
        self.commands.append(process.command or "")
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            await self.answer(process)
        finally:
            self.at_once -= 1


class _Server(asyncssh.SSHServer):
    def __init__(self, sshd: Sshd) -> None:
        self._sshd = sshd

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._sshd.connections += 1
        self._sshd.live.append(conn)


@contextlib.asynccontextmanager
async def sshd(answer: Callable[[Process], Awaitable[None]]) -> AsyncIterator[Sshd]:
    """Serve on loopback until the end of the block."""
    server = Sshd(answer)
    acceptor = await asyncssh.create_server(
        lambda: _Server(server),
        "127.0.0.1",
        0,
        server_host_keys=[HOST_KEY],
        authorized_client_keys=asyncssh.import_authorized_keys(OUR_KEY.export_public_key().decode()),
        process_factory=server.serve,
    )
    server.port = acceptor.get_port()
    try:
        yield server
    finally:
        acceptor.close()
        for connection in server.live:
            connection.abort()
        await acceptor.wait_closed()


class Relay:
    """Passes bytes on to the server until it is frozen; then it keeps them, and keeps the connection."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self.port = 0
        self.frozen = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers += [writer, far_writer]
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pass_on(source, sink), name="relay"))

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while said := await source.read(65536):
                if not self.frozen:
                    sink.write(said)
