"""What operators see of gateways, and that what they wish is one key, with who and why."""

from ipaddress import IPv4Address

import pytest

from reconciler.model.base import GatewayName
from reconciler.model.gateway import Duty, GatewayReport, GatewayWish
from reconciler.model.lease import Lease
from reconciler.store.codec import decode
from reconciler.store.kv import Put
from tests.unit.api.conftest import NOON, Client, World

FIRST, SECOND = GatewayName("gateway-1"), GatewayName("gateway-2")


def a_lease(gateway: str, port: int, *, released: bool = False) -> Lease:
    return Lease(
        job="k3f9x2",
        index=0,
        gateway=gateway,
        external_ip=IPv4Address("192.0.2.1"),
        port=port,
        run="7.0",
        target_host="c1-ib0",
        target_ip=IPv4Address("10.101.0.1"),
        leased=NOON,
        quarantine_ends=NOON if released else None,
    )


async def leased(world: World, *leases: Lease) -> None:
    for lease in leases:
        await world.write(world.keys.lease(GatewayName(lease.gateway), lease.port), lease)


async def test_every_gateway_is_shown_with_what_it_carries(world: World, operator: Client) -> None:
    await leased(world, a_lease(FIRST, 50000), a_lease(FIRST, 50001, released=True))
    report = GatewayReport(name=FIRST, healthy=True, reason="Answers.", since=NOON, leases=1, rules=1, backend="nft")
    await world.write(world.keys.gateway(FIRST), report)
    shown = (await (await operator.get("/v1/gateways")).json())["gateways"]

    assert [gateway["name"] for gateway in shown] == [FIRST, SECOND]
    assert shown[0]["leases"] == {"leased": 1, "resting": 1, "free": 9999}
    assert (shown[0]["weight"], shown[0]["external-ip"]) == (1, "129.206.9.248")
    assert shown[0]["status"] == {
        "healthy": True,
        "reason": "Answers.",
        "since": "2026-01-01T12:00:00.000Z",
        "duty": "serve",
        "empty": False,
        "leases": 1,
        "rules": 1,
        "backend": "nft",
        "complaints": [],
    }
    assert "status" not in shown[1]


@pytest.mark.invariant("I6")
@pytest.mark.parametrize("duty", ["serve", "cordon", "drain", "gone"])
async def test_a_wish_says_who_and_why_and_is_the_only_key_that_is_written(
    world: World, operator: Client, duty: str
) -> None:
    response = await operator.put(f"/v1/gateways/{SECOND}", json={"duty": duty, "reason": "new kernel"})
    written = decode(GatewayWish, await world.entry(world.keys.gateway_wish(SECOND)))

    assert response.status == 200
    assert (await response.json())["wish"]["duty"] == duty
    assert (written.duty, written.by, written.reason, written.asked) == (Duty(duty), "operator", "new kernel", NOON)
    assert list(await world.wishes()) == [world.keys.gateway_wish(SECOND)]


@pytest.mark.parametrize(
    "body",
    [
        {"duty": "drain"},
        {"duty": "failed", "reason": "x"},
        {"duty": "unknown", "reason": "x"},
        {"duty": "cordon", "reason": ""},
        {"duty": "cordon", "reason": "x", "force": True},
        {"reason": "x"},
    ],
)
async def test_a_wish_that_is_none_writes_nothing(world: World, operator: Client, body: dict[str, object]) -> None:
    response = await operator.put(f"/v1/gateways/{FIRST}", json=body)

    assert response.status == 422
    assert await world.wishes() == {}


@pytest.mark.parametrize("name", ["gateway-3", "Gateway", "a%2Fb", "-"])
async def test_a_gateway_that_nothing_names_is_unknown(world: World, operator: Client, name: str) -> None:
    shown = await operator.get(f"/v1/gateways/{name}")
    wished = await operator.put(f"/v1/gateways/{name}", json={"duty": "cordon", "reason": "x"})

    assert [(await answer.json())["type"] for answer in (shown, wished)] == ["/problems/gateway-unknown"] * 2
    assert await world.wishes() == {}


async def test_a_gateway_that_only_leases_name_can_be_called_gone(world: World, operator: Client) -> None:
    await leased(world, a_lease("retired", 50000))
    shown = await (await operator.get("/v1/gateways/retired")).json()
    response = await operator.put("/v1/gateways/retired", json={"duty": "gone", "reason": "scrapped"})

    assert (shown["configured"], shown["leases"]["leased"]) == (False, 1)
    assert response.status == 200
    assert decode(GatewayWish, await world.entry(world.keys.gateway_wish(GatewayName("retired")))).duty is Duty.GONE


async def test_a_value_that_cannot_be_read_hides_no_gateway(world: World, operator: Client) -> None:
    await world.store.commit([], [Put(world.keys.gateway(FIRST), b"{"), Put(f"{world.keys.leases}nonsense", b"?")])
    shown = (await (await operator.get("/v1/gateways")).json())["gateways"]

    assert [gateway["name"] for gateway in shown] == [FIRST, SECOND]
