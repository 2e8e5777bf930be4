"""The two implementations side by side: every test that asks for a `subject` runs on each."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.store.etcd import EtcdStore
from reconciler.store.kv import KeyValueHistory, Revision
from reconciler.store.settings import EtcdSettings
from tests.contract.certificates import Authority
from tests.contract.etcd_server import EtcdServer, Tls, binaries
from tests.fakes.memory_store import MemoryStore

RELEASES = ("installed", "trixie", "sid")
PAGE_KEYS = 10
"""Small, so that listings take several pages."""


@dataclass
class Subject:
    """A store under test, and what its contract leaves to operators."""

    store: KeyValueHistory
    prefix: str
    """Every test has its own, ending in a slash."""
    compact: Callable[[Revision], object]


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], EtcdServer]]:
    """Return the one server of each release that the whole session shares."""
    shared: dict[str, EtcdServer] = {}

    def of(release: str) -> EtcdServer:
        if release not in shared:
            shared[release] = EtcdServer(find(release), tmp_path_factory.mktemp("etcd"))
            started(shared[release])
        return shared[release]

    yield of
    ended(*shared.values())


@pytest.fixture
def start_etcd(tmp_path: Path) -> Iterator[Callable[..., EtcdServer]]:
    """Start an etcd that the test may break."""
    own: list[EtcdServer] = []

    def start(release: str = "installed", flags: tuple[str, ...] = (), tls: Tls | None = None) -> EtcdServer:
        own.append(EtcdServer(find(release), tmp_path / f"etcd-{len(own)}", flags, tls=tls))
        started(own[-1])
        return own[-1]

    yield start
    ended(*own)


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[Callable[..., list[EtcdServer]]]:
    """Start three members that the test may break."""
    members: list[EtcdServer] = []

    def start(tls: Tls | None = None) -> list[EtcdServer]:
        members.extend(EtcdServer(find("installed"), tmp_path / name, name=name, tls=tls) for name in ("a", "b", "c"))
        for member in members:
            member.flags = ("--initial-cluster", ",".join(one.peer for one in members))
        started(*members)
        return members

    yield start
    ended(*members)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return a certificate authority."""
    return Authority(tmp_path / "authority")


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


def started(*servers: EtcdServer) -> None:
    """Start them together, as members of one cluster must be, and wait until all are ready."""
    for server in servers:
        server.start()
    for server in servers:
        server.wait_ready()


def ended(*servers: EtcdServer) -> None:
    """Stop them, whatever the test did to them."""
    for server in servers:
        server.stop()
