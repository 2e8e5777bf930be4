"""Which ports and which gateway a job gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.base import GatewayName
from reconciler.plan.ports import PortRange, RangeFull, Room, candidates, choose_gateway

ONE, TWO = GatewayName("gateway-1"), GatewayName("gateway-2")
TEN = PortRange(50000, 50009)


def test_a_job_goes_to_the_gateway_with_the_most_room() -> None:
    assert choose_gateway({ONE: Room(5), TWO: Room(3)}, TEN, 1) == TWO


def test_a_gateway_without_room_for_all_ports_of_the_job_is_not_chosen() -> None:
    with pytest.raises(RangeFull, match="no gateway has 6 free ports in 50000-50009"):
        choose_gateway({ONE: Room(5), TWO: Room(7)}, TEN, 6)


@pytest.mark.invariant("I3")
@given(taken=st.sets(st.integers(49990, 50020)), chance=st.floats(0, 1, exclude_max=True))
def test_exactly_the_free_ports_of_the_range_are_offered_once_each(taken: set[int], chance: float) -> None:
    offered = list(candidates(taken, TEN, lambda: chance))
    assert sorted(offered) == sorted(set(range(50000, 50010)) - taken)


def test_without_a_chance_the_lowest_free_port_comes_first() -> None:
    assert next(iter(candidates({50000}, TEN, None))) == 50001
