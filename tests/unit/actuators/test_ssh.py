"""The one kept connection to a node, against a real ssh server on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from reconciler.actuators.command import Command
from reconciler.actuators.ssh import OUTPUT_LIMIT_BYTES, Address, Node
from reconciler.config import Ssh
from reconciler.errors import UnexpectedOutput, Unreachable
from tests.fakes.sshd import HOST_KEY, OUR_KEY, Process, Relay, sshd

OTHER_HOST_KEY, OTHER_KEY = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))


def settings(
    directory: Path,
    port: int,
    *,
    key: asyncssh.SSHKey = OUR_KEY,
    host_key: asyncssh.SSHKey = HOST_KEY,
    command_timeout_s: float = 30.0,
    sessions_per_node: int = 8,
) -> Ssh:
    key_file, known_hosts = directory / "key", directory / "known_hosts"
    key.write_private_key(str(key_file))
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.export_public_key().decode()}")
    return Ssh.model_validate(
        {
            "private-key-file": key_file,
            "known-hosts-file": known_hosts,
            "connect-timeout-s": 5.0,
            "command-timeout-s": command_timeout_s,
            "sessions-per-node": sessions_per_node,
            "keepalive-interval-s": 0.2,
        }
    )


@contextlib.asynccontextmanager
async def node(ssh: Ssh, port: int) -> AsyncIterator[Node]:
    one = Node("command-1", Address("127.0.0.1", port, "bwvisu"), ssh)
    try:
        yield one
    finally:
        await one.close()


async def says(process: Process) -> None:
    """Answer with what was said on standard input."""
    process.stdout.write(await process.stdin.read())
    process.stderr.write("a warning")
    process.exit(3)


async def is_silent(process: Process) -> None:
    await process.wait_closed()


async def test_a_command_gets_its_words_and_its_input_as_they_are(tmp_path: Path) -> None:
    async with sshd(says) as server, node(settings(tmp_path, server.port), server.port) as one:
        finished = await one.run(Command(("echo", "it's; $(id)"), stdin="ä\nb"), timeout_s=6.5)
    assert (finished.exit_status, finished.stdout, finished.stderr) == (3, "ä\nb", "a warning")
    assert server.commands == ["timeout --kill-after=2 7 echo 'it'\"'\"'s; $(id)'"]


async def test_one_connection_serves_all_commands_and_a_lost_one_is_made_anew(tmp_path: Path) -> None:
    async with sshd(says) as server, node(settings(tmp_path, server.port), server.port) as one:
        await asyncio.gather(*(one.run(Command(("true",)), timeout_s=5) for _ in range(5)))
        assert server.connections == 1
        server.live[0].abort()
        while one.connected:  # noqa: ASYNC110 - only the loop can tell us
            await asyncio.sleep(0)
        await one.run(Command(("true",)), timeout_s=5)
    assert server.connections == 2


async def test_no_more_than_the_allowed_sessions_are_open_at_once(tmp_path: Path) -> None:
    """OpenSSH refuses the eleventh (MaxSessions)."""

    async def takes_a_turn(process: Process) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        process.exit(0)

    ssh = settings
    async with sshd(takes_a_turn) as server, node(ssh(tmp_path, server.port, sessions_per_node=3), server.port) as one:
        await asyncio.gather(*(one.run(Command(("true",)), timeout_s=5) for _ in range(12)))
    assert server.at_once_max == 3


async def test_a_wrong_host_key_is_told_by_name(tmp_path: Path) -> None:
    async with sshd(says) as server:
        ssh = settings(tmp_path, server.port, host_key=OTHER_HOST_KEY)
        async with node(ssh, server.port) as one:
            with pytest.raises(Unreachable, match=r"command-1: its host key is not the one in known_hosts"):
                await one.run(Command(("true",)), timeout_s=5)
    assert server.commands == []


async def test_a_refused_key_is_told_by_name(tmp_path: Path) -> None:
    async with sshd(says) as server, node(settings(tmp_path, server.port, key=OTHER_KEY), server.port) as one:
        with pytest.raises(Unreachable, match=r"command-1: it does not accept our key"):
            await one.run(Command(("true",)), timeout_s=5)


async def test_a_missing_key_file_is_told_by_name(tmp_path: Path) -> None:
    async with sshd(says) as server:
        ssh = settings(tmp_path, server.port)
        ssh.private_key_file.unlink()
        async with node(ssh, server.port) as one:
            with pytest.raises(Unreachable, match=r"command-1: .*/key: No such file or directory"):
                await one.run(Command(("true",)), timeout_s=5)


async def test_a_node_that_is_off_is_unreachable(tmp_path: Path) -> None:
    async with sshd(says) as server:
        pass
    async with node(settings(tmp_path, server.port), server.port) as one:
        with pytest.raises(Unreachable, match="command-1: cannot connect: Connection refused"):
            await one.run(Command(("true",)), timeout_s=5)


async def test_a_silent_command_is_given_up_in_time(tmp_path: Path) -> None:
    async with sshd(is_silent) as server:
        ssh = settings(tmp_path, server.port, command_timeout_s=0.3)
        async with node(ssh, server.port) as one:
            with pytest.raises(Unreachable, match="no answer in time"):
                await one.run(Command(("sleep", "1000")), timeout_s=5)


async def test_opening_a_session_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asyncssh's own timeout starts when the session stands; a server that never opens one would hang us for ever."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncssh.SSHClientConnection, "create_session", never)
    async with sshd(says) as server:
        ssh = settings(tmp_path, server.port, command_timeout_s=0.3)
        async with node(ssh, server.port) as one:
            with pytest.raises(Unreachable, match="no answer in time"):
                await one.run(Command(("true",)), timeout_s=5)


async def test_a_peer_that_falls_silent_is_noticed_by_keepalives(tmp_path: Path) -> None:
    """A cable pulled, a node frozen: nothing comes back, not even an error."""
    async with sshd(is_silent) as server, Relay(server.port) as relay:
        ssh = settings(tmp_path, relay.port)
        async with node(ssh, relay.port) as one, asyncio.TaskGroup() as tasks:
            running = tasks.create_task(_fails(one), name="a command")
            while not server.commands:  # noqa: ASYNC110 - only the loop can tell us
                await asyncio.sleep(0)
            relay.frozen = True
            error = await running
    assert isinstance(error, Unreachable)
    assert "in time" not in str(error)


async def test_a_command_that_ends_before_it_read_its_input_has_a_result(tmp_path: Path) -> None:
    """Writing to it failed with "Channel not open for sending", and its refusal was taken for a lost connection."""

    async def refuses(process: Process) -> None:
        process.exit(1)

    async with sshd(refuses) as server, node(settings(tmp_path, server.port), server.port) as one:
        assert (await one.run(Command(("sbatch",), stdin="x" * (5 << 20)), timeout_s=5)).exit_status == 1


async def test_a_connection_cut_before_the_end_leaves_no_result(tmp_path: Path) -> None:
    async def cut(process: Process) -> None:
        process.stdout.write("half a li")
        process.channel.get_connection().abort()

    async with sshd(cut) as server, node(settings(tmp_path, server.port), server.port) as one:
        with pytest.raises(Unreachable, match=r"cut|lost|closed"):
            await one.run(Command(("squeue",)), timeout_s=5)


async def test_a_command_killed_by_a_signal_has_no_result(tmp_path: Path) -> None:
    async def dies(process: Process) -> None:
        process.exit_with_signal("KILL")

    async with sshd(dies) as server, node(settings(tmp_path, server.port), server.port) as one:
        with pytest.raises(Unreachable, match="killed by SIGKILL"):
            await one.run(Command(("sbatch",)), timeout_s=5)


async def test_a_command_that_never_stops_talking_is_stopped(tmp_path: Path) -> None:
    async def talks(process: Process) -> None:
        with contextlib.suppress(OSError, asyncssh.Error):
            for _ in range(OUTPUT_LIMIT_BYTES // 65536 * 2):
                process.stdout.write("x" * 65536)
                await process.stdout.drain()

    async with sshd(talks) as server, node(settings(tmp_path, server.port), server.port) as one:
        with pytest.raises(UnexpectedOutput, match="more than"):
            await one.run(Command(("yes",)), timeout_s=20)
        assert one.connected


async def test_a_listing_of_megabytes_arrives_whole(tmp_path: Path) -> None:
    async def lists(process: Process) -> None:
        process.stdout.write("x" * (8 << 20))
        process.exit(0)

    async with sshd(lists) as server, node(settings(tmp_path, server.port), server.port) as one:
        assert len((await one.run(Command(("squeue",)), timeout_s=20)).stdout) == 8 << 20


async def test_a_session_the_server_will_not_open_is_told(tmp_path: Path) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "no more sessions")

    async with sshd(says) as server, node(settings(tmp_path, server.port), server.port) as one:
        await one.run(Command(("true",)), timeout_s=5)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncssh.SSHClientConnection, "create_session", refuses)
            with pytest.raises(Unreachable, match="opens no further session"):
                await one.run(Command(("true",)), timeout_s=5)


async def _fails(one: Node) -> Exception:
    try:
        await one.run(Command(("squeue",)), timeout_s=20)
    except Unreachable as error:
        return error
    raise AssertionError("it answered")
