"""The rendered script runs in a real shell with the system's python3 against the real keyhole on loopback."""

import asyncio
import os
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp.test_utils import BaseTestServer, TestServer

from api import app
from api.waiting import wait_for
from reconciler.batchscript.forwarding import KeyholeCall, shell_lines
from reconciler.batchscript.token import job_token
from reconciler.model.base import JobId
from reconciler.model.wish import ForwardRequest
from tests.unit.api.conftest import SECRET, World
from tests.unit.api.test_keyhole import JOB, TOKEN, opened, wish_for_job

ENVIRONMENT = {"PATH": os.environ["PATH"], "SLURM_NODELIST": "c[1-2]", "SLURM_JOB_ID": "4711"}
SHOW = 'echo "$KEYHOLE_PORT0 $KEYHOLE_GATEWAY0 $KEYHOLE_EXTERNAL_PORT0 $KEYHOLE_PORT1 $(env | grep -c ^KEYHOLE_)"\n'


@pytest.fixture
async def server(world: World) -> AsyncGenerator[BaseTestServer]:
    """Serve the keyhole of a world whose clock is right, with one job wished for."""
    world.clock.now = datetime.now(UTC)
    await wish_for_job(world)
    async with TestServer(app.keyhole(world.desk)) as serving:
        yield serving


class Job:
    """A batch script that runs as a process of its own, with a folder for its temporary files."""

    def __init__(self, folder: Path, shell: str = "bash") -> None:
        self.folder = folder / "tmp"
        self.folder.mkdir()
        self._script = folder / "script"
        self._shell = shutil.which(shell) or shell

    async def start(self, servers: Sequence[tuple[str, int]], token: str = TOKEN, patience_s: float = 20) -> Process:
        """Start the script."""
        call = KeyholeCall(JobId(JOB), token, tuple(servers), 2, patience_s)
        self._script.write_text("#!/bin/sh\nset -eu\n" + shell_lines(call) + SHOW)
        environment = ENVIRONMENT | {"TMPDIR": str(self.folder)}
        return await asyncio.create_subprocess_exec(
            self._shell, str(self._script), stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
        )


async def ended(process: Process) -> tuple[int | None, str, str]:
    """Return exit status, standard output and standard error."""
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def address(server: BaseTestServer) -> tuple[str, int]:
    """Return where the server listens."""
    assert server.port is not None
    return "127.0.0.1", server.port


def processes_of(session: int) -> list[Path]:
    """Return the folders in /proc of all processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session:
                found.append(folder)
        except ProcessLookupError:
            continue
    return found


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_a_job_gets_its_ports_as_variables_and_leaves_no_file(
    world: World, server: BaseTestServer, tmp_path: Path, shell: str
) -> None:
    await world.write(world.keys.report(JOB), opened())
    job = Job(tmp_path, shell)
    status, out, _ = await ended(await job.start([address(server)]))

    assert (status, out) == (0, "50007 203.0.113.101 50007 50008 6\n")
    assert list(job.folder.iterdir()) == []


@pytest.mark.invariant("I11")
async def test_while_a_job_waits_its_token_is_in_no_argument_environment_or_file(
    world: World, server: BaseTestServer, tmp_path: Path
) -> None:
    job = Job(tmp_path)
    process = await job.start([address(server)])
    async with asyncio.timeout(20):
        await wait_for(world.store, world.keys.forward(JOB), ForwardRequest, lambda _forward: True)
    folders = processes_of(process.pid)
    seen = [(folder / name).read_bytes() for folder in folders for name in ("cmdline", "environ")]
    written = [path.read_text() for path in job.folder.iterdir()]
    await world.write(world.keys.report(JOB), opened())
    status, _, _ = await ended(process)

    assert status == 0
    assert any(b"python3" in text for text in seen)
    assert not any(TOKEN.encode() in text for text in seen)
    assert written
    assert not any(TOKEN in text for text in written)


async def test_a_job_that_was_told_to_come_again_does(
    world: World, server: BaseTestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so while it waits: with python3 before 3.9 the sentence stayed in a buffer until the end."""
    monkeypatch.setattr("api.keyhole.ANSWER_WITHIN_S", 0.01)
    process = await Job(tmp_path).start([address(server)])
    async with asyncio.timeout(20):
        await wait_for(world.store, world.keys.forward(JOB), ForwardRequest, lambda _forward: True)
        assert process.stderr is not None
        first = await process.stderr.readline()
    await world.write(world.keys.report(JOB), opened())
    status, out, _ = await ended(process)

    assert b"still at work" in first
    assert (status, out.split()[0]) == (0, "50007")


async def test_a_keyhole_that_does_not_answer_is_passed_over(
    world: World, server: BaseTestServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    await world.write(world.keys.report(JOB), opened())
    status, out, _ = await ended(await Job(tmp_path).start([("127.0.0.1", unused_tcp_port), address(server)]))

    assert (status, out.split()[0]) == (0, "50007")


async def test_a_job_with_a_wrong_token_ends_at_once_with_a_sentence(
    world: World, server: BaseTestServer, tmp_path: Path
) -> None:
    job = Job(tmp_path)
    other = job_token(SECRET, "main", JobId("job002"))
    status, out, err = await ended(await job.start([address(server)], token=other))

    assert (status, out) == (1, "")
    assert "answered 403" in err
    assert "the keyhole gave no ports, so this job ends here" in err
    assert list(job.folder.iterdir()) == []
    assert await world.store.get(world.keys.forward(JOB)) is None


async def test_a_job_that_reaches_no_keyhole_gives_up_with_a_sentence(tmp_path: Path, unused_tcp_port: int) -> None:
    status, out, err = await ended(await Job(tmp_path).start([("127.0.0.1", unused_tcp_port)], patience_s=0.2))

    assert (status, out) == (1, "")
    assert "gave up after 0 s" in err
    assert "Connection refused" in err
    assert TOKEN not in err
