"""Both doors on a store in memory, and what a controller would have written there."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import BaseTestServer, TestClient, TestServer

from api import app, credentials
from api.auth import Doorkeeper
from api.client import Portal
from api.credentials import Credentials
from api.desk import Desk
from api.passwords import Hashed
from api.rates import WRONG_PASSWORDS, Rates
from api.roles import Role
from reconciler.config import Config
from reconciler.model.base import JobId, Value
from reconciler.model.report import NodeReport, UserAnswer
from reconciler.model.wish import JobSpec, Wish
from reconciler.store.codec import encode
from reconciler.store.grouping import GroupingStore
from reconciler.store.keys import Keys
from reconciler.store.kv import Delete, Entry, Put
from tests.fakes.memory_store import MemoryStore

SECRET = b"s" * 64
JOB = JobId("job001")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SEED = Path(__file__).parents[3] / "config.json"
TEMPLATE = "#!/bin/bash\necho {{image_name}} {{job_id}}\n"
ASKED = {"user": "alice", "template": "xpra.sh", "variables": {"image_name": "paraview.sif"}}

Client = TestClient[aiohttp.web.Request, aiohttp.web.Application]


@dataclass
class Clock:
    """Time that passes only when the test says so."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class World:
    """What the doors stand in."""

    config: Config
    store: MemoryStore
    clock: Clock = field(default_factory=Clock)

    @property
    def keys(self) -> Keys:
        """The names of the keys."""
        return Keys(self.config.etcd.prefix)

    @property
    def desk(self) -> Desk:
        """What the doors are given."""
        return Desk(config=self.config, store=GroupingStore(self.store), server_secret=SECRET, now=self.clock)

    async def write(self, key: str, value: Value) -> None:
        """Write as the controller would."""
        await self.store.commit([], [Put(key, encode(value))])

    async def forget(self, key: str) -> None:
        """Delete a key."""
        await self.store.commit([], [Delete(key)])

    async def wish_for(self, job: JobId) -> None:
        """Write the wish of a job that is to call."""
        spec = JobSpec(user="alice", template="xpra.sh", variables={"image_name": "a"})
        await self.write(self.keys.wish(job), Wish(id=job, created=NOON, spec=spec))

    async def answer(self, user: str, uid: int | None) -> None:
        """Say whether a user exists."""
        await self.write(self.keys.answer(user), UserAnswer(user=user, uid=uid, checked=self.clock.now))

    async def node(self, name: str, healthy: bool) -> None:
        """Say whether a command node is of use."""
        reason = "" if healthy else "ssh: connection refused"
        await self.write(
            self.keys.command_node(name), NodeReport(name=name, healthy=healthy, reason=reason, since=self.clock.now)
        )

    async def entry(self, key: str) -> Entry:
        """Return a key that must be there."""
        found = await self.store.get(key)
        assert found is not None
        return found

    async def wish(self, job: str) -> dict[str, object]:
        """Return a job's wish as it stands in the store."""
        return dict(json.loads((await self.entry(self.keys.wish(JobId(job)))).value))

    async def wishes(self) -> dict[str, bytes]:
        """Return everything in the store but questions about users."""
        listing = await self.store.list(self.keys.everything)
        return {e.key: e.value for e in listing.entries if not e.key.startswith(self.keys.questions)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a store in memory and the seed's configuration with one template."""
    (tmp_path / "xpra.sh").write_text(TEMPLATE)
    seed = json.loads(SEED.read_text())
    api = {"answer-timeout-s": 0.05, "body-limit-bytes": 4096}
    config = Config.model_validate(seed | {"templates-directory": str(tmp_path), "api": api})
    return World(config, MemoryStore())


RIGHT = "right"


def credential(name: str, role: Role, password: str = RIGHT) -> str:
    """Return a line of the credentials file; of low cost, for a right one takes its time."""
    return credentials.line(name, role, Hashed.of(password, cost=16))


HASHES = credentials.read("\n".join(credential(role.value, role) for role in Role))
"""One credential of each role, named like it."""
AUTHORIZATION = Portal("", "portal", "right").authorization


def doorkeeper(known: Credentials, clock: Clock | None = None) -> Doorkeeper:
    """Return a doorkeeper who hears five wrong passwords from an address at once, and one a second."""
    clock = clock or Clock()
    return Doorkeeper(known, Rates(1, 5, lambda: clock().timestamp(), WRONG_PASSWORDS))


@pytest.fixture
async def portal(world: World) -> AsyncGenerator[Client]:
    """Return a client at the portal's door that knows its password."""
    server = TestServer(app.portal(world.desk, HASHES))
    async with TestClient(server, headers={"Authorization": AUTHORIZATION}) as client:
        yield client


@pytest.fixture
async def operator(world: World) -> AsyncGenerator[Client]:
    """Return a client at the portal's door that may do everything."""
    headers = {"Authorization": Portal("", "operator", "right").authorization}
    async with TestClient(TestServer(app.portal(world.desk, HASHES)), headers=headers) as client:
        yield client


@pytest.fixture
async def stranger(world: World) -> AsyncGenerator[Client]:
    """Return a client at the portal's door that has no password."""
    async with TestClient(TestServer(app.portal(world.desk, HASHES))) as client:
        yield client


@pytest.fixture
async def keyhole(world: World) -> AsyncGenerator[Client]:
    """Return a client at the keyhole."""
    async with TestClient(TestServer(app.keyhole(world.desk))) as client:
        yield client


@pytest.fixture
async def server(world: World) -> AsyncGenerator[BaseTestServer]:
    """Serve the keyhole of a world whose clock is right, with one job wished for."""
    world.clock.now = datetime.now(UTC)
    await world.wish_for(JOB)
    async with TestServer(app.keyhole(world.desk)) as serving:
        yield serving


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the passwords that are hashed, as they come."""
    passed: list[str] = []
    real = Hashed.proves

    def noted(self: Hashed, password: str) -> bool:
        passed.append(password)
        return real(self, password)

    monkeypatch.setattr(Hashed, "proves", noted)
    return passed
