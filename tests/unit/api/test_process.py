"""The process itself: it starts without etcd, says that it is not ready, and stops when told to."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.client import Portal
from api.roles import Role
from tests.unit.api.conftest import SEED, credential

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SEED.parent)}


@pytest.fixture
def site(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> Path:
    """Return a configuration with ports of its own and an etcd that is not there."""
    portal, keyhole, etcd = (unused_tcp_port_factory() for _ in range(3))
    (tmp_path / "credentials").write_text(credential("portal", Role.PORTAL))
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text("s" * 64)
    own = {
        "etcd-servers": [{"ip": "127.0.0.1", "port": etcd}],
        "keyholed-servers": [{"ip": "127.0.0.1", "port": keyhole}],
        "api": {"listen-port": portal, "keyhole-listen-ip": "127.0.0.1", "credentials-file": "credentials"},
        "etcd": {"request-timeout-s": 0.5},
        "server-secret-file": "secret",
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(SEED.read_text()) | own))
    return config


@pytest.fixture
async def process(site: Path) -> AsyncGenerator[Process]:
    """Run the API; end it if the test did not."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", "--config", str(site), stdout=PIPE, stderr=PIPE, env=ENVIRONMENT
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


def read(site: Path) -> dict[str, Any]:
    """Return the configuration as written."""
    return dict(json.loads(site.read_text()))


async def listening(process: Process, doors: int) -> None:
    """Wait until this many doors are open."""
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while doors:
            line = await process.stderr.readline()
            assert line, "the process ended"
            doors -= b'"listening"' in line


async def test_it_is_up_and_not_ready_without_etcd_and_ends_when_told_to(process: Process, site: Path) -> None:
    await listening(process, doors=2)
    config = read(site)
    portal = f"http://127.0.0.1:{config['api']['listen-port']}"
    keyhole = f"http://127.0.0.1:{config['keyholed-servers'][0]['port']}"
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        statuses = [(await session.get(url)).status for url in (f"{portal}/healthz", f"{portal}/readyz")]
        statuses += [(await session.get(f"{keyhole}/healthz")).status]
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        status = await process.wait()

    assert statuses == [200, 503, 404]
    assert status == 0


def test_its_check_of_a_configuration_starts_nothing(site: Path) -> None:
    command = [sys.executable, "-m", "api", "--config", str(site), "--check-config"]
    good = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)
    site.write_text(json.dumps(read(site) | {"server-secret-file": "none"}))
    bad = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)

    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    assert bad.returncode == 2
    assert "none" in bad.stderr


async def test_a_signal_has_the_credentials_read_again(process: Process, site: Path) -> None:
    await listening(process, doors=2)
    (site.parent / "credentials").write_text(credential("other", Role.VIEWER))
    process.send_signal(signal.SIGHUP)
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while b'"file_reloaded"' not in await process.stderr.readline():
            assert process.returncode is None
    url = f"http://127.0.0.1:{read(site)['api']['listen-port']}/v1/nothing"
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        statuses = [
            (await session.get(url, headers={"Authorization": Portal("", name, "right").authorization})).status
            for name in ("portal", "other")
        ]

    assert statuses == [401, 404]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": 1}, "colour"),
        ({"server-secret-file": "none"}, "none"),
        ({"api": {"credentials-file": "secret"}}, "line 1 of the credentials"),
        ({"api": {"credentials-file": "credentials", "listen-ip": "192.0.2.1"}}, "cannot listen on 192.0.2.1"),
    ],
)
def test_it_does_not_start_with_a_wrong_configuration(site: Path, change: dict[str, object], named: str) -> None:
    site.write_text(json.dumps(read(site) | change))
    ended = subprocess.run(
        [sys.executable, "-m", "api", "--config", str(site)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 2
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "s" * 64 not in ended.stderr
