"""The client runs the script in a real shell, and tells the real keyhole on loopback how it ended."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import BaseTestServer

from reconciler.model.wish import ExitReport
from reconciler.store.codec import decode
from tests.unit.api.conftest import JOB, World
from tests.unit.api.running import Job, address, ended
from tests.unit.api.test_keyhole import INTERNAL, opened


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


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_a_job_that_asks_for_no_ports_tells_its_end_too(
    world: World, server: BaseTestServer, tmp_path: Path, shell: str
) -> None:
    """Nobody heard of such a job but Slurm, which forgets it after some minutes."""
    process = await Job(tmp_path, shell, "echo almost\nexit 3\n", ports=0).start(
        [address(server)], log=tmp_path / "log"
    )
    ended_with, _, err = await ended(process)
    report = await told_end(world)

    assert (ended_with, err) == (3, "")
    assert (report.exit_code, report.log_tail) == (3, ("almost",))
    assert await world.store.get(world.keys.forward(JOB)) is None


async def test_a_job_without_ports_runs_on_a_node_without_python(
    world: World, server: BaseTestServer, tmp_path: Path
) -> None:
    job = Job(tmp_path, then="echo almost\nexit 3\n", ports=0)

    assert await ended(await job.start([address(server)], path=str(tmp_path))) == (3, "almost\n", "")
    assert await world.store.get(world.keys.exit(JOB)) is None


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
    assert ((await told_end(world)).exit_code, (await told_end(world)).log_tail) == (4, (str(INTERNAL[1]),))
