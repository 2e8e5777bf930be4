"""The two implementations side by side: every test that asks for a `subject` runs on each."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.store.etcd import EtcdStore
from reconciler.store.kv import KeyValueStore, Revision
from reconciler.store.settings import EtcdSettings
from tests.contract.etcd_server import EtcdServer, binaries
from tests.fakes.memory_store import MemoryStore

RELEASES = ("installed", "trixie", "sid")
PAGE_KEYS = 10
"""Small, so that listings take several pages."""


@dataclass
class Subject:
    """A store under test, and what its contract leaves to operators."""

    store: KeyValueStore
    prefix: str
    """Every test has its own, ending in a slash."""
    compact: Callable[[Revision], object]


@pytest.fixture(scope="session")
def start_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., EtcdServer]]:
    """Start etcd of a release with more flags; all of them end with the session."""
    started: list[EtcdServer] = []

    def start(release: str = "installed", flags: tuple[str, ...] = (), scheme: str = "http") -> EtcdServer:
        server = EtcdServer(find(release), tmp_path_factory.mktemp("etcd"), flags, scheme)
        server.start()
        started.append(server)
        server.wait_ready()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def etcd(start_etcd: Callable[..., EtcdServer]) -> Callable[[str], EtcdServer]:
    """Return the one server of each release that the whole session shares."""
    shared: dict[str, EtcdServer] = {}

    def of(release: str) -> EtcdServer:
        if release not in shared:
            shared[release] = start_etcd(release)
        return shared[release]

    return of


@pytest.fixture(params=["memory", *RELEASES])
async def subject(
    request: pytest.FixtureRequest, etcd: Callable[[str], EtcdServer], tmp_path: Path
) -> AsyncIterator[Subject]:
    """Each implementation in turn, with a prefix of its own."""
    prefix = f"/{tmp_path.name}/"
    if request.param == "memory":
        memory = MemoryStore()
        yield Subject(memory, prefix, memory.compact)
        return
    server = etcd(request.param)
    async with EtcdStore.connect(EtcdSettings((server.endpoint,), page_keys=PAGE_KEYS)) as store:
        yield Subject(store, prefix, lambda revision: server.etcdctl("compact", str(revision)))


def find(release: str) -> Path:
    """Return where a release's binaries are; without the installed one the check is not worth its name."""
    found = binaries(release)
    if found is None and release == "installed":
        pytest.fail("etcd is not installed: run deploy/packages.sh site")
    if found is None:
        pytest.skip(f"no etcd of {release}: run deploy/etcd/fetch {release} .cache/etcd/{release}")
    return found
