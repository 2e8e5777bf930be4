"""The command line against the real portal's door."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from api import app, credentials
from api.cli import main
from reconciler.model.base import GatewayName, JobId
from reconciler.model.event import Event, gateway_subject
from reconciler.model.gateway import Duty, GatewayWish
from reconciler.model.report import Phase, Report
from reconciler.model.wish import ControllerWish, Wish
from reconciler.store.codec import decode
from reconciler.store.kv import Delete
from tests.unit.api.conftest import HASHES, NOON, World

Run = Callable[..., Coroutine[None, None, int]]

SUBMIT = ("submit", "--user", "alice", "--template", "xpra.sh", "--var", "image_name=a.sif")


@pytest.fixture
async def bwvisu(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Run]:
    """Run one command line and return its exit status."""
    await world.answer("alice", 20001)
    monkeypatch.setattr("api.client.LOOK_AGAIN_S", 0.01)
    with capture_logs():  # the command line alone writes to standard output
        async with TestServer(app.portal(world.desk, HASHES)) as server:
            monkeypatch.setenv("BWVISU_SERVER", f"http://127.0.0.1:{server.port}")
            monkeypatch.setenv("BWVISU_NAME", "portal")
            monkeypatch.setenv("BWVISU_PASSWORD", "right")

            async def run(*arguments: str) -> int:
                async with asyncio.timeout(10):
                    return await asyncio.to_thread(main, arguments)

            yield run


async def phase(world: World, job: str, reached: Phase) -> None:
    """Report a phase as the controller would."""
    report = Report(id=job, observed_generation=1, phase=reached, since=NOON)
    await world.write(world.keys.report(JobId(job)), report)


async def test_submit_makes_the_wish_that_its_options_say(
    world: World, bwvisu: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    status = await bwvisu(
        "--json", *SUBMIT, "--label", "s=1", "--nodes", "2", "--memory-mib", "512", "--id", "portal01"
    )
    job = json.loads(capsys.readouterr().out)
    spec = (await world.wish("portal01"))["spec"]

    assert status == 0
    assert (
        job["spec"]
        == spec
        == {
            "user": "alice",
            "template": "xpra.sh",
            "variables": {"image_name": "a.sif"},
            "labels": {"s": "1"},
            "on-node-failure": "requeue",
            "allow-from": [],
            "paused": False,
            "resources": {"nodes": 2, "memory-mib": 512},
        }
    )


async def test_list_and_show_say_one_line_per_job(
    world: World, bwvisu: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    await bwvisu("list")
    await bwvisu(*SUBMIT, "--id", "portal01")
    await phase(world, "portal01", Phase.SUBMITTED)
    await bwvisu("list")
    await bwvisu("show", "portal01")

    assert capsys.readouterr().out.splitlines() == [
        "no jobs",
        "portal01  pending     alice  xpra.sh",
        "portal01  submitted   alice  xpra.sh",
        "portal01  submitted   alice  xpra.sh",
    ]


async def test_delete_that_waits_returns_when_the_job_is_gone(
    world: World, bwvisu: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    await bwvisu(*SUBMIT, "--id", "portal01")
    waiting = asyncio.create_task(bwvisu("delete", "portal01", "--wait"), name="delete")
    while "deleted" not in await world.wish("portal01"):  # noqa: ASYNC110 - the other side is a thread
        await asyncio.sleep(0.01)
    before = waiting.done()
    await world.store.commit([], [Delete(world.keys.wish(JobId("portal01")))])

    assert (before, await waiting) == (False, 0)
    assert capsys.readouterr().out.endswith("portal01  gone\n")


@pytest.mark.parametrize(
    ("reached", "wanted", "status"),
    [
        (Phase.AVAILABLE, "available", 0),
        (Phase.AVAILABLE, "running", 0),
        (Phase.RUNNING, "available", 4),  # in vain; the others have time enough for a busy machine
        (Phase.FINISHED, "available", 1),
        (Phase.FINISHED, "finished", 0),
    ],
)
async def test_wait_ends_as_the_job_does(world: World, bwvisu: Run, reached: Phase, wanted: str, status: int) -> None:
    await bwvisu(*SUBMIT, "--id", "portal01")
    await phase(world, "portal01", reached)

    assert await bwvisu("wait", "portal01", "--phase", wanted, "--timeout-s", "0.1" if status == 4 else "5") == status


@pytest.mark.parametrize(("command", "awaited"), [("wait", "available"), ("delete", "gone")])
async def test_whoever_waited_too_long_is_told_for_what(
    bwvisu: Run, capsys: pytest.CaptureFixture[str], command: str, awaited: str
) -> None:
    """It once said ``not wait within 2 s``."""
    await bwvisu(*SUBMIT, "--id", "portal01")
    waiting = ("--wait",) if command == "delete" else ()
    status = await bwvisu(command, "portal01", *waiting, "--timeout-s", "0.1")

    assert status == 4
    assert capsys.readouterr().err == f"bwvisu: job portal01 was not {awaited} within 0.1 s\n"


async def test_a_refusal_names_all_that_is_wrong(world: World, bwvisu: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = await world.wishes()
    status = await bwvisu("submit", "--user", "al ice", "--template", "nope.sh")
    err = capsys.readouterr().err

    assert status == 1
    assert all(part in err for part in ("422", "/user", "/template"))
    assert await world.wishes() == before


async def test_a_refused_value_is_shown_with_what_the_template_allows(
    world: World, bwvisu: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line once said only that the variable is not as the template wants it."""
    (world.config.templates_directory / "choosy.sh").write_text(
        "#!/bin/sh\n# Variable: threads integer 1..64\necho {{threads}}\n"
    )
    status = await bwvisu("submit", "--user", "alice", "--template", "choosy.sh", "--var", "threads=65")

    assert status == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "/variables/threads: Variable threads is not as the template wants it. "
        "(found 65; allowed a whole number from 1 to 64)"
    )


async def test_no_answer_is_told_apart_from_a_refusal(
    world: World, bwvisu: Run, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    world.store.reachable = False
    without_etcd = await bwvisu("list")
    monkeypatch.setenv("BWVISU_SERVER", f"http://127.0.0.1:{unused_tcp_port}")
    without_api = await bwvisu("list")

    assert (without_etcd, without_api) == (3, 3)


async def test_a_server_that_is_not_there_is_named_in_one_short_line(
    bwvisu: Run, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BWVISU_SERVER", f"http://127.0.0.1:{unused_tcp_port}")
    await bwvisu("list")

    expected = f"bwvisu: no answer from the API: cannot connect to 127.0.0.1:{unused_tcp_port}\n"
    assert capsys.readouterr().err == expected


def test_the_help_says_where_a_credentials_password_is_read_from(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["credential", "--help"])

    assert "from the terminal or from standard input" in " ".join(capsys.readouterr().out.split())


async def test_a_wrong_password_is_refused_and_not_shown(
    bwvisu: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BWVISU_PASSWORD", "hunter2")

    assert await bwvisu("list") == 1
    assert "hunter2" not in "".join(capsys.readouterr())


async def test_credentials_may_come_from_a_file(bwvisu: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BWVISU_PASSWORD")
    nobody = await bwvisu("list")
    (tmp_path / "who").write_text("portal:right\n")

    assert (nobody, await bwvisu("--credentials", str(tmp_path / "who"), "list")) == (2, 0)
    assert await bwvisu("--credentials", str(tmp_path / "none"), "list") == 2


def test_a_credential_is_made_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    status = main(["credential", "portal"])
    line = capsys.readouterr().out

    assert status == 0
    assert credentials.read(line).password_of("portal").proves("hunter2")  # type: ignore[union-attr]
    assert "hunter2" not in line


@pytest.mark.parametrize(("name", "password"), [("a b", "x"), ("portal", "")])
def test_a_credential_that_could_not_work_is_not_made(
    name: str, password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))

    assert main(["credential", name]) == 2
    assert capsys.readouterr().out == ""


def test_a_variable_without_a_value_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["submit", "--user", "a", "--template", "b", "--var", "c"])

    assert ended.value.code == 2
    assert "NAME=VALUE" in capsys.readouterr().err


async def test_a_gateway_is_drained_and_serves_again(
    world: World, bwvisu: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BWVISU_NAME", "operator")
    assert await bwvisu("drain", "gateway-1", "--reason", "new kernel") == 0
    drained = decode(GatewayWish, await world.entry(world.keys.gateway_wish(GatewayName("gateway-1"))))
    assert await bwvisu("gateways") == 0
    assert await bwvisu("uncordon", "gateway-1") == 0
    serving = decode(GatewayWish, await world.entry(world.keys.gateway_wish(GatewayName("gateway-1"))))

    assert (drained.duty, drained.reason, serving.duty) == (Duty.DRAIN, "new kernel", Duty.SERVE)
    first, second = capsys.readouterr().out.splitlines()[1:3]
    assert first.startswith("gateway-1  serve (wished: drain)  0 leased, 0 resting, 10001 free  weight 1")
    assert first.endswith("operator: new kernel")
    assert second.startswith("gateway-2  serve  0 leased")


async def test_events_are_printed_a_line_each_and_repeats_are_counted(
    world: World, bwvisu: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for subject, count in (("k3f9x2", 3), (gateway_subject("gateway-1"), 1)):
        event = Event(
            subject=subject, level="warning", reason="Strange", message="So.", count=count, first=NOON, last=NOON
        )
        await world.write(world.keys.events + event.name, event)

    assert await bwvisu("events", "k3f9x2") == 0
    assert capsys.readouterr().out.split() == [
        *("2026-01-01T12:00:00.000Z", "warning", "Strange", "So."),
        *("(3", "times", "since", "2026-01-01T12:00:00.000Z)"),
    ]
    assert await bwvisu("--json", "events", "--gateway", "gateway-1") == 0
    assert json.loads(capsys.readouterr().out)[0]["reason"] == "Strange"
    assert await bwvisu("events") == 0
    assert capsys.readouterr().out == "no events\n"
    assert await bwvisu("events", "neverwas") == 1


async def test_a_pause_is_seen_in_a_list_and_beside_a_job(
    world: World, bwvisu: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pauses could be read in etcd only, and whoever waited for a job did not know why nothing moved."""
    await bwvisu(*SUBMIT, "--id", "portal01")
    await world.write(world.keys.controller_wish, ControllerWish(paused=True, by="ops", reason="upgrade", asked=NOON))
    wish = Wish.model_validate(await world.wish("portal01"))
    spec = wish.spec.model_copy(update={"paused": True})
    await world.write(world.keys.wish(wish.job_id), wish.model_copy(update={"spec": spec}))
    capsys.readouterr()
    await bwvisu("list")
    await bwvisu("show", "portal01")

    assert (
        capsys.readouterr().out.splitlines()
        == [
            "the controller is paused by ops since 2026-01-01T12:00:00.000Z: upgrade",
            "portal01  pending     alice  xpra.sh  paused",
        ]
        * 2
    )
