"""A controller that would not know what is its own refuses to lead, and touches nothing."""

import pytest

from reconciler.controllers.gateway_names import require_same_gateways
from reconciler.controllers.world import World
from reconciler.errors import ConfigError
from reconciler.model.base import JobId
from reconciler.store.identity import identity_of, require_identity
from tests.fakes.memory_store import Lost, MemoryStore
from tests.unit.controllers.site import Site

pytestmark = pytest.mark.looptime

KEY = "/bwvisu/controller/identity"
SECRET, OTHER = b"s" * 64, b"t" * 64


async def test_a_prefix_is_claimed_once_and_known_again() -> None:
    store = MemoryStore()
    await require_identity(store, KEY, identity_of(SECRET, "main"))
    first = await store.get(KEY)
    await require_identity(store, KEY, identity_of(SECRET, "main"))
    assert await store.get(KEY) == first


@pytest.mark.parametrize("call", ["get", "commit"])
@pytest.mark.parametrize("lost", list(Lost))
async def test_a_lost_answer_of_etcd_delays_a_leader_and_does_not_end_it(call: str, lost: Lost) -> None:
    """One lost answer at this point ended the process that had just won the election."""
    store = MemoryStore()
    store.lose(lost, call)
    await require_identity(store, KEY, identity_of(SECRET, "main"))
    assert await store.get(KEY) is not None


@pytest.mark.invariant("I2", "I11")
@pytest.mark.parametrize(("secret", "instance"), [(OTHER, "main"), (SECRET, "other")])
async def test_another_secret_or_instance_is_refused_by_name_and_the_secret_is_not_told(
    secret: bytes, instance: str
) -> None:
    """Its own marks would look forged: after a few listings every session was called lost, and its port closed."""
    store = MemoryStore()
    await require_identity(store, KEY, identity_of(SECRET, "main"))
    with pytest.raises(ConfigError, match="server-secret-file or instance") as refused:
        await require_identity(store, KEY, identity_of(secret, instance))
    assert secret.decode() not in str(refused.value)


async def test_the_prefix_is_ours_under_the_former_secret_and_from_then_on_under_the_new_one() -> None:
    store, former, own = MemoryStore(), identity_of(OTHER, "main"), identity_of(SECRET, "main")
    await require_identity(store, KEY, former)
    await require_identity(store, KEY, own, former)
    await require_identity(store, KEY, own)
    with pytest.raises(ConfigError):
        await require_identity(store, KEY, former)


@pytest.mark.invariant("I8")
async def test_gateways_that_swapped_names_are_refused(site: Site) -> None:
    """With the first gateway taken out of the file the second got its name, and its sessions were cut."""
    (lease,) = await site.available("k3f9x2")
    world = World(site.keys)
    for entry in (await site.store.list(site.keys.everything)).entries:
        world.changed(entry.key, entry)
    require_same_gateways(site.config, world)
    nodes = site.config.gateway_nodes
    moved = tuple(
        node.model_copy(update={"name": other.name}) for node, other in zip(nodes, reversed(nodes), strict=True)
    )
    with pytest.raises(ConfigError, match=f"the lease {lease.gateway}/{lease.port} calls {lease.external_ip}"):
        require_same_gateways(site.config.model_copy(update={"gateway_nodes": moved}), world)
    assert JobId(lease.job) in world.wishes.names()
