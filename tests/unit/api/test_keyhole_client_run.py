"""The rendered script runs in a real shell with the system's python3 against the real keyhole on loopback."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp.test_utils import BaseTestServer, TestServer

from api import app
from api.waiting import wait_for
from reconciler.batchscript.forwarding import KeyholeCall, client_lines, request_lines
from reconciler.batchscript.token import job_token
from reconciler.model.base import JobId
from reconciler.model.wish import ExitReport, ForwardRequest
from reconciler.store.codec import decode
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

    def __init__(self, folder: Path, shell: str = "bash", then: str = SHOW) -> None:
        self.folder = folder / "tmp"
        self.folder.mkdir()
        self._script = folder / "script"
        self._shell = shutil.which(shell) or shell
        self._then = then

    async def start(
        self,
        servers: Sequence[tuple[str, int]],
        token: str = TOKEN,
        patience_s: float = 20,
        log: Path | None = None,
        path: str = ENVIRONMENT["PATH"],
    ) -> Process:
        """Start the script; its standard output goes into `log`, if one is named."""
        call = KeyholeCall(JobId(JOB), token, tuple(servers), 2, patience_s)
        lines = f"#!{self._shell}\n{client_lines(call)}set -eu\n{request_lines(2)}{self._then}"
        self._script.write_text(lines)
        environment = ENVIRONMENT | {"TMPDIR": str(self.folder), "PATH": path}
        words = (self._shell, str(self._script))
        if log is None:
            return await asyncio.create_subprocess_exec(
                *words, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
            )
        with log.open("wb") as out:
            return await asyncio.create_subprocess_exec(
                *words, stdout=out, stderr=PIPE, env=environment, start_new_session=True
            )


async def ended(process: Process) -> tuple[int | None, str, str]:
    """Return exit status, standard output and standard error."""
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, (out or b"").decode(), err.decode()


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

    assert (status, out) == (0, "20007 203.0.113.101 50007 20008 6\n")
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
    assert written == []


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
    assert (status, out.split()[0]) == (0, "20007")


async def test_a_keyhole_that_does_not_answer_is_passed_over(
    world: World, server: BaseTestServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    await world.write(world.keys.report(JOB), opened())
    status, out, _ = await ended(await Job(tmp_path).start([("127.0.0.1", unused_tcp_port), address(server)]))

    assert (status, out.split()[0]) == (0, "20007")


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


async def test_a_job_whose_port_is_taken_on_its_node_gets_another_one(
    world: World, server: BaseTestServer, tmp_path: Path
) -> None:
    """It used to end there: the keyhole took nothing but the same request again."""
    first, second = opened().services[1], opened().services[0]
    await world.write(world.keys.report(JOB), opened())
    with socket.create_server(("127.0.0.1", first.internal_port)):
        process = await Job(tmp_path).start([address(server)])
        async with asyncio.timeout(20):
            await wait_for(world.store, world.keys.forward(JOB), ForwardRequest, lambda asked: bool(asked.busy))
        other = first.model_copy(update={"internal_port": 20050, "external_port": 50050})
        await world.write(world.keys.report(JOB), opened().model_copy(update={"services": (other, second)}))
        status, out, err = await ended(process)

    assert (status, out) == (0, "20050 203.0.113.101 50050 20008 6\n")
    assert "port 20007 is taken on this node; asking for another" in err


async def told_end(world: World) -> ExitReport:
    """Return what the keyhole was told of the job's end."""
    entry = await world.store.get(world.keys.exit(JOB))
    assert entry is not None
    return decode(ExitReport, entry)


@pytest.mark.parametrize(
    ("then", "status"),
    [
        ("exec sh -c 'echo almost; exit 7'\n", 7),
        ("trap 'echo almost' EXIT\nexit 7\n", 7),
        ("echo almost\nkill -KILL $$\n", 137),
        ("echo almost\n", 0),
    ],
)
async def test_however_a_script_ends_the_keyhole_is_told_status_and_log(
    world: World, server: BaseTestServer, tmp_path: Path, then: str, status: int
) -> None:
    """A trap of ours would not do: `exec` forgets it, a script's own takes its place, and SIGKILL knows none."""
    await world.write(world.keys.report(JOB), opened())
    process = await Job(tmp_path, then=then).start([address(server)], log=tmp_path / "log")
    ended_with, _, _ = await ended(process)
    report = await told_end(world)

    assert (ended_with, report.exit_code) == (status, status)
    assert report.log_tail == ("almost",)


async def test_a_signal_to_the_batch_script_reaches_the_application(
    world: World, server: BaseTestServer, tmp_path: Path
) -> None:
    """`sbatch --signal=B:TERM@60` and `scancel --batch` signal one process only: the one that Slurm started."""
    await world.write(world.keys.report(JOB), opened())
    then = "trap 'echo asked to end; exit 3' TERM\necho ready >&2\nwhile :; do sleep 0.1; done\n"
    process = await Job(tmp_path, then=then).start([address(server)], log=tmp_path / "log")
    assert process.stderr is not None
    async with asyncio.timeout(20):
        assert await process.stderr.readline() == b"ready\n"
    os.kill(process.pid, signal.SIGTERM)

    assert (await ended(process))[0] == 3
    assert (await told_end(world)).log_tail == ("asked to end",)


async def test_a_job_whose_keyhole_is_gone_at_its_end_ends_as_it_would(
    world: World, server: BaseTestServer, tmp_path: Path
) -> None:
    await world.write(world.keys.report(JOB), opened())
    process = await Job(tmp_path, then="echo ready >&2\nsleep 0.5\nexit 5\n").start([address(server)])
    assert process.stderr is not None
    async with asyncio.timeout(20):
        assert await process.stderr.readline() == b"ready\n"
    await server.close()

    assert (await ended(process))[0] == 5


@pytest.mark.invariant("I11")
async def test_a_module_that_somebody_put_into_the_folder_for_temporary_files_is_not_imported(
    world: World, server: BaseTestServer, tmp_path: Path
) -> None:
    """The client once was a file in /tmp: python3 looked there first for ``json``, and anybody may write there."""
    await world.write(world.keys.report(JOB), opened())
    job = Job(tmp_path)
    for name in ("json", "hmac", "http"):
        (job.folder / f"{name}.py").write_text("raise SystemExit('somebody else was here')\n")
    status, out, err = await ended(await job.start([address(server)]))

    assert (status, out.split()[0]) == (0, "20007")
    assert "somebody else" not in err


def interpreters() -> list[Path]:
    """Return a python3 of each version on this machine: the one on the PATH, and pyenv's."""
    others = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    return [Path(shutil.which("python3") or sys.executable), *others]


@pytest.mark.parametrize("interpreter", interpreters(), ids=lambda path: path.parts[-3])
async def test_the_client_runs_with_every_python_from_3_6_on(
    world: World, server: BaseTestServer, tmp_path: Path, interpreter: Path
) -> None:
    await world.write(world.keys.report(JOB), opened())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(interpreter)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    process = await Job(tmp_path, then="echo $KEYHOLE_PORT1\nexit 4\n").start(
        [address(server)], log=tmp_path / "log", path=path
    )
    status, _, err = await ended(process)

    assert (status, err) == (4, "")
    assert ((await told_end(world)).exit_code, (await told_end(world)).log_tail) == (4, ("20008",))
