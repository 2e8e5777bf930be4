"""The rendered script runs in a real shell with the system's python3 against the real keyhole on loopback."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
from aiohttp.test_utils import BaseTestServer

from api.waiting import wait_for
from reconciler.batchscript.token import job_token
from reconciler.model.base import JobId
from reconciler.model.wish import ForwardRequest
from tests.unit.api.conftest import JOB, SECRET, World
from tests.unit.api.running import Job, address, ended
from tests.unit.api.test_keyhole import INTERNAL, TOKEN, opened


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

    assert (status, out) == (0, f"{INTERNAL[0]} 203.0.113.101 50007 {INTERNAL[1]} 6\n")
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
    assert (status, out.split()[0]) == (0, str(INTERNAL[0]))


async def test_a_keyhole_that_does_not_answer_is_passed_over(
    world: World, server: BaseTestServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    await world.write(world.keys.report(JOB), opened())
    status, out, _ = await ended(await Job(tmp_path).start([("127.0.0.1", unused_tcp_port), address(server)]))

    assert (status, out.split()[0]) == (0, str(INTERNAL[0]))


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
        other = first.model_copy(update={"internal_port": INTERNAL[2], "external_port": 50050})
        await world.write(world.keys.report(JOB), opened().model_copy(update={"services": (other, second)}))
        status, out, err = await ended(process)

    assert (status, out) == (0, f"{INTERNAL[2]} 203.0.113.101 50050 {INTERNAL[1]} 6\n")
    assert f"port {INTERNAL[0]} is taken on this node; asking for another" in err


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

    assert (status, out.split()[0]) == (0, str(INTERNAL[0]))
    assert "somebody else" not in err
