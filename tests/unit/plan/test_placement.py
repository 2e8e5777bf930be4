"""Ports that move: whatever gateways do meanwhile, a job keeps one that works, and in the end has exactly one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.base import GatewayName
from reconciler.model.decision import LeasePorts, Link, MoveLeases, ReleaseLeases, Seen
from reconciler.model.gateway import LEAVING, Duty
from reconciler.model.lease import Lease
from reconciler.model.queue import Stage
from reconciler.model.report import Phase, Report
from reconciler.plan.job import plan
from reconciler.plan.placement import GatewaySeen, duties, place
from tests.unit.plan.make import LIMITS, T0, at, forward, lease, listing, report, row, wish

NAMES = tuple(GatewayName(f"gateway-{number}") for number in range(1, 4))
ONE, TWO, THREE = NAMES
WISHED = (Duty.SERVE, Duty.CORDON, Duty.DRAIN, Duty.GONE)


def on(gateway: GatewayName, index: int = 0) -> Lease:
    address = IPv4Address(f"192.0.2.{NAMES.index(gateway) + 1}")
    return lease(index).model_copy(update={"gateway": gateway, "external_ip": address})


def told(*links: Link) -> Report:
    """Return the report of a job whose users were told of these links."""
    seen = Seen(wish(), report(Phase.RUNNING), forward(len(links)), links, listing(row(Stage.ACTIVE)))
    return plan(seen, LIMITS, at(1)).report


@dataclass
class Region:
    """One job, its gateways, and what became of every action; a step may be cut before its last actions."""

    ports: int
    duty_of: dict[GatewayName, Duty] = field(default_factory=lambda: dict.fromkeys(NAMES, Duty.SERVE))
    leases: dict[tuple[str, int], Lease] = field(default_factory=dict)
    live: set[tuple[str, int]] = field(default_factory=set)
    report: Report | None = None
    moves: int = 0

    def see(self) -> Seen:
        links = tuple(Link(x, key in self.live, True if key in self.live else None) for key, x in self.leases.items())
        asked = forward(self.ports)
        return Seen(wish(), self.report, asked, links, listing(row(Stage.ACTIVE)), duties=dict(self.duty_of))

    def step(self, cut_after: int = 99) -> None:
        """Run one pass and let the gateways follow; those that failed open nothing and close nothing."""
        decision = plan(self.see(), LIMITS, at(3))
        self.report = decision.report
        for action in decision.actions[:cut_after]:
            match action:
                case LeasePorts(indices):
                    self._lease({index: on(self._target(ONE), index) for index in indices})
                case MoveLeases(leases):
                    self.moves += 1
                    refuge = self._refuge()
                    self._lease({x.index: on(refuge, x.index) for x in leases} if refuge else {})
                case ReleaseLeases(leases):
                    for one in leases:
                        del self.leases[one.gateway, one.port]
                case _:
                    raise AssertionError(action)
        self.live = {key for key in {*self.live, *self.leases} if self._is_in_force(key)}

    def _is_in_force(self, key: tuple[str, int]) -> bool:
        dead = self.duty_of[GatewayName(key[0])] in {Duty.FAILED, Duty.GONE}
        return key in (self.live if dead else self.leases)

    def _lease(self, wanted: dict[int, Lease]) -> None:
        for one in wanted.values():
            assert (one.gateway, one.port) not in self.leases, "a port has two owners"
            self.leases[one.gateway, one.port] = one

    def _refuge(self) -> GatewayName | None:
        return next((name for name in NAMES if self.duty_of[name] is Duty.SERVE), None)

    def _target(self, otherwise: GatewayName) -> GatewayName:
        return self._refuge() or otherwise


ALL_DUTIES = st.sampled_from([*WISHED, Duty.FAILED])
TIMES = st.lists(st.tuples(st.sampled_from(NAMES), ALL_DUTIES, st.integers(0, 3), st.integers(0, 3)), max_size=10)


def running(region: Region, steps: int = 6) -> None:
    for _ in range(steps):
        region.step()


def changing(region: Region, times: list[tuple[GatewayName, Duty, int, int]]) -> Iterator[None]:
    """Let it be available, then give gateways their duties, one after the other; stop after each of its steps."""
    running(region)
    for name, duty, steps, cut_after in times:
        region.duty_of[name] = duty
        for _ in range(steps):
            region.step(cut_after)
            yield


@pytest.mark.invariant("I3")
@given(ports=st.integers(1, 3), times=TIMES)
def test_whatever_becomes_of_gateways_what_users_are_told_is_never_given_back(
    ports: int, times: list[tuple[GatewayName, Duty, int, int]]
) -> None:
    region = Region(ports)
    for _ in changing(region, times):
        assert region.report is not None
        told_of = {(service.gateway, service.external_port) for service in region.report.services}
        assert told_of <= region.leases.keys()
        assert len(told_of) == ports
        assert {x.index for x in region.leases.values()} == set(range(ports))


@pytest.mark.invariant("I3")
@given(ports=st.integers(1, 3), times=TIMES)
def test_every_move_ends_on_one_gateway_that_keeps_it_and_then_nothing_moves_any_more(
    ports: int, times: list[tuple[GatewayName, Duty, int, int]]
) -> None:
    region = Region(ports)
    for _ in changing(region, times):
        pass
    region.duty_of[THREE] = Duty.SERVE  # somewhere there is room in the end
    running(region, 12)
    assert sorted(x.index for x in region.leases.values()) == list(range(ports))
    assert not {region.duty_of[GatewayName(x.gateway)] for x in region.leases.values()} & LEAVING
    moves = region.moves
    running(region, 3)
    assert region.moves == moves
    assert plan(region.see(), LIMITS, at(4)).actions == ()


def test_a_new_port_that_nobody_has_looked_through_is_not_told_yet() -> None:
    old, new = Link(on(ONE), live=True, healthy=True), Link(on(TWO), live=True, healthy=None)
    seen = Seen(wish(), told(old), forward(1), (old, new), duties={ONE: Duty.DRAIN})
    assert place(seen).serving == (old,)
    assert place(seen).moving


def test_an_application_that_is_silent_moves_all_the_same() -> None:
    old, new = Link(on(ONE), live=True, healthy=False), Link(on(TWO), live=True, healthy=False)
    seen = Seen(wish(), told(old), forward(1), (old, new), duties={ONE: Duty.DRAIN})
    assert place(seen).serving == (new,)
    assert place(seen).surplus == (old.lease,)


def test_what_was_given_back_counts_for_nothing() -> None:
    released = on(ONE).model_copy(update={"quarantine_ends": T0})
    seen = Seen(wish(), report(Phase.RUNNING), forward(1), (Link(released, live=None), Link(on(TWO), live=True)))
    assert [link.lease.gateway for link in place(seen).serving] == [TWO]


def gateways(*usable: bool, wished: Duty = Duty.SERVE) -> dict[GatewayName, GatewaySeen]:
    return {name: GatewaySeen(wished, well, T0) for name, well in zip(NAMES, usable, strict=False)}


def test_a_gateway_fails_when_its_time_is_over_and_no_sooner() -> None:
    seen = gateways(False, True)
    assert duties(seen, 60, at(59))[ONE] is Duty.SERVE
    assert duties(seen, 60, at(60))[ONE] is Duty.FAILED


@pytest.mark.invariant("I12")
@given(usable=st.lists(st.booleans(), min_size=1, max_size=3), wished=st.sampled_from(WISHED))
def test_none_fails_where_no_other_could_take_its_sessions(usable: list[bool], wished: Duty) -> None:
    found = duties(gateways(*usable, wished=wished), 60, T0 + timedelta(days=1))
    if not (any(usable) and wished is Duty.SERVE):
        assert Duty.FAILED not in found.values()
    assert all(found[name] is wished for name, well in zip(NAMES, usable, strict=False) if well)


@pytest.mark.parametrize("never", [None, 0])
def test_none_fails_where_the_configuration_says_never(never: float | None) -> None:
    assert duties(gateways(False, True), never, T0 + timedelta(days=1))[ONE] is Duty.SERVE
