"""Ports for a session that moves: of the same numbers where those are free, and never one number twice."""

import pytest

from reconciler.controllers.duties import Duties
from reconciler.controllers.free_ports import FreePorts
from reconciler.controllers.rooms import Rooms
from reconciler.controllers.sight import Sight
from reconciler.controllers.world import World
from reconciler.model.base import GatewayName
from reconciler.plan.ports import PortRange
from reconciler.store.codec import encode
from reconciler.store.keys import Keys
from reconciler.store.kv import Entry, Revision
from tests.fakes.gateway_world import FakeGateway
from tests.unit.plan.make import at, lease

TEN = PortRange(50000, 50009)
LEASED, LISTENED = 50001, 50002


@pytest.fixture
def gateway() -> FakeGateway:
    """Give a gateway on which a program listens."""
    made = FakeGateway()
    made.occupy(LISTENED)
    return made


@pytest.fixture
def free(gateway: FakeGateway) -> FreePorts:
    """Give its free ports, from the lowest; one of them is leased."""
    world = World(Keys("/bwvisu"))
    key = world.keys.lease(GatewayName(gateway.name), LEASED)
    held = lease().model_copy(update={"port": LEASED})
    world.changed(key, Entry(key, encode(held), Revision(1), Revision(1)))
    gateways = {gateway.name: gateway}
    duties = Duties(world, gateways, None, lambda: at(0))
    return FreePorts(Sight(), Rooms(world, gateways, duties, TEN, {}), static=True)


@pytest.mark.parametrize(
    ("wished", "given"),
    [
        ([50007, 50008], [50007, 50008]),
        ([LEASED, 50007], [50000, 50007]),
        ([LISTENED, 50007], [50000, 50007]),
        ([50007, 50007], [50007, 50000]),
        ([50000, 50000, 50000], [50000, 50003, 50004]),
        ([LEASED, LEASED], [50000, 50003]),
        ([50004, 50007, 50004], [50004, 50007, 50000]),
    ],
)
async def test_each_port_keeps_its_number_if_it_can_and_two_never_have_the_same(
    free: FreePorts, gateway: FakeGateway, wished: list[int], given: list[int]
) -> None:
    """Leases of two gateways may have one number: both were given it, and the transaction was refused for ever."""
    assert await free.here(gateway, wished) == given
