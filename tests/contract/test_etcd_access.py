"""Who may: users, roles and certificates. Each test has its own etcd."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import ConfigError, Refused, Unreachable
from reconciler.store.etcd import EtcdStore
from reconciler.store.kv import Batch, Put, Revision
from reconciler.store.settings import EtcdSettings
from tests.contract.batches import changes
from tests.contract.certificates import Authority
from tests.contract.conftest import started
from tests.contract.etcd_server import EtcdServer

StartEtcd = Callable[..., EtcdServer]
Use = Callable[[EtcdStore], Awaitable[object]]

ROOT = "--user=root:secret"


@pytest.fixture(params=["installed", "trixie"])
def guarded(request: pytest.FixtureRequest, start_etcd: StartEtcd) -> EtcdServer:
    """Return an etcd that lets the user `api` see everything below /site/ but write only /site/desired/."""
    server = start_etcd(request.param)
    server.etcdctl("user", "add", "root:secret")
    server.etcdctl("user", "grant-role", "root", "root")
    server.etcdctl("role", "add", "wishes")
    server.etcdctl("role", "grant-permission", "wishes", "--prefix=true", "read", "/site/")
    server.etcdctl("role", "grant-permission", "wishes", "--prefix=true", "readwrite", "/site/desired/")
    server.etcdctl("user", "add", "api:wish")
    server.etcdctl("user", "grant-role", "api", "wishes")
    server.etcdctl("auth", "enable")
    return server


def as_api(server: EtcdServer) -> EtcdSettings:
    return EtcdSettings((server.endpoint,), user="api", password="wish")


async def watch_once(store: EtcdStore) -> None:
    async with aclosing(store.watch("/site/", Revision(0))) as batches:
        await anext(batches)


USES: dict[str, Use] = {
    "get": lambda store: store.get("/site/a"),
    "list": lambda store: store.list("/site/"),
    "commit": lambda store: store.commit([], [Put("/site/desired/a", b"")]),
    "grant": lambda store: store.grant(60),
    "watch": watch_once,
}


@pytest.mark.invariant("I6")
async def test_a_user_writes_where_the_role_allows_and_nowhere_else(guarded: EtcdServer) -> None:
    async with EtcdStore.connect(as_api(guarded)) as store:
        await store.commit([], [Put("/site/desired/a", b"")])
        with pytest.raises(Refused, match="permission denied"):
            await store.commit([], [Put("/site/desired/b", b""), Put("/site/observed/a", b"")])
        listing = await store.list("/site/")
    assert [entry.key for entry in listing.entries] == ["/site/desired/a"]


async def test_nobody_reads_what_the_role_does_not_show(guarded: EtcdServer) -> None:
    async with EtcdStore.connect(as_api(guarded)) as store:
        with pytest.raises(Refused, match="permission denied"):
            await store.list("/other/")
        with pytest.raises(Refused, match="permission denied"):
            await anext(store.watch("/other/", Revision(0)))


def restart(server: EtcdServer) -> None:
    """Etcd 3.5 forgets every token; 3.4 learns them again from its log."""
    server.stop()
    started(server)


def switch_off_and_on(server: EtcdServer) -> None:
    """Every release forgets every token."""
    server.etcdctl(ROOT, "auth", "disable")
    server.etcdctl("auth", "enable")


@pytest.mark.parametrize(
    ("use", "forget"),
    [*((use, switch_off_and_on) for use in USES), ("get", restart), ("watch", restart)],
)
async def test_an_etcd_that_forgets_our_token_goes_unnoticed(
    guarded: EtcdServer, use: str, forget: Callable[[EtcdServer], None]
) -> None:
    """A client that keeps sending the old token is dead until somebody restarts it."""
    async with EtcdStore.connect(as_api(guarded)) as store:
        await store.get("/site/a")
        await asyncio.to_thread(forget, guarded)
        await once_reachable(USES[use], store)


async def test_a_watch_after_a_forgotten_token_tells_what_comes(guarded: EtcdServer) -> None:
    async with EtcdStore.connect(as_api(guarded)) as store:
        after = (await store.list("/site/")).revision
        await asyncio.to_thread(switch_off_and_on, guarded)
        async with aclosing(store.watch("/site/", after)) as batches:
            assert await anext(batches) == Batch((), after)
            await store.commit([], [Put("/site/desired/a", b"")])
            assert len(await changes(batches, 1)) == 1


async def test_a_changed_role_takes_effect_without_a_new_connection(guarded: EtcdServer) -> None:
    """Tokens are refused that are older than the last change of roles."""
    async with EtcdStore.connect(as_api(guarded)) as store:
        await store.get("/site/a")
        guarded.etcdctl(ROOT, "role", "grant-permission", "wishes", "--prefix=true", "read", "/other/")
        assert (await store.list("/other/")).entries == ()


async def test_many_calls_at_once_share_one_login(guarded: EtcdServer) -> None:
    before = guarded.started_calls("Authenticate")
    async with EtcdStore.connect(as_api(guarded)) as store, asyncio.TaskGroup() as tasks:
        for n in range(50):
            tasks.create_task(store.get("/site/a"), name=f"read {n}")
    assert guarded.started_calls("Authenticate") == before + 1


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"user": "nobody"}, {"user": None}])
async def test_who_does_not_know_the_password_is_refused(guarded: EtcdServer, wrong: dict[str, str | None]) -> None:
    settings = replace(as_api(guarded), **wrong)  # type: ignore[arg-type]  # every key is a field
    async with EtcdStore.connect(settings) as store:
        with pytest.raises(Refused):
            await store.get("/site/a")


async def test_a_user_is_let_in_where_nobody_is_asked_and_once_everybody_is(start_etcd: StartEtcd) -> None:
    server = start_etcd()
    async with EtcdStore.connect(EtcdSettings((server.endpoint,), user="root", password="secret")) as store:
        await store.commit([], [Put("/a", b"")])
        for words in ("user add root:secret", "user grant-role root root", "auth enable"):
            server.etcdctl(*words.split())
        assert await store.get("/a") is not None


async def test_tls_lets_in_who_has_a_certificate_of_the_right_authority(
    start_etcd: StartEtcd, authority: Authority
) -> None:
    files = authority.issue("server")
    server = start_etcd(tls=files)
    ours = authority.issue("client")
    settings = EtcdSettings((server.endpoint,), ca_file=ours.ca_file, cert_file=ours.cert_file, key_file=ours.key_file)
    async with EtcdStore.connect(settings) as store:
        await store.commit([], [Put("/a", b"")])
        async with aclosing(store.watch("/", Revision(0))) as batches:
            assert len(await changes(batches, 1)) == 1


async def test_tls_keeps_out_everybody_else(start_etcd: StartEtcd, authority: Authority, tmp_path: Path) -> None:
    server = start_etcd(tls=authority.issue("server"))
    stranger = Authority(tmp_path / "stranger")
    theirs, ours = stranger.issue("client"), authority.issue("client")
    plain = EtcdSettings((server.endpoint,))
    for settings in (
        plain,
        replace(plain, ca_file=ours.ca_file),
        replace(plain, ca_file=theirs.ca_file, cert_file=ours.cert_file, key_file=ours.key_file),
        replace(plain, ca_file=ours.ca_file, cert_file=theirs.cert_file, key_file=theirs.key_file),
    ):
        async with EtcdStore.connect(settings) as store:
            with pytest.raises(Unreachable):
                await store.get("/a")


async def test_tls_refuses_a_server_whose_certificate_names_another_address(
    start_etcd: StartEtcd, authority: Authority
) -> None:
    server = start_etcd(tls=authority.issue("server", address="127.0.0.9"))
    ours = authority.issue("client")
    settings = EtcdSettings((server.endpoint,), ca_file=ours.ca_file, cert_file=ours.cert_file, key_file=ours.key_file)
    async with EtcdStore.connect(settings) as store:
        with pytest.raises(Unreachable):
            await store.get("/a")


async def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = EtcdSettings((("127.0.0.1", 2379),), ca_file=tmp_path / "absent.crt")
    with pytest.raises(ConfigError, match=r"absent\.crt"):
        async with EtcdStore.connect(settings):
            pass


async def once_reachable(use: Use, store: EtcdStore) -> None:
    """Use the store; a connection that the restart broke may cost a few attempts, anything else fails."""
    async with asyncio.timeout(20):
        while True:
            try:
                await use(store)
            except Unreachable:
                await asyncio.sleep(0.05)
            else:
                return
