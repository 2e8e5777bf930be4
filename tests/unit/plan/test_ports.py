"""Which ports and which gateway a job gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.base import GatewayName
from reconciler.model.wish import ForwardRequest
from reconciler.plan.ports import NoGateway, PortRange, RangeFull, Room, candidates, choose_gateway, ports_ahead, turn
from tests.unit.plan.make import at, forward

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


def test_load_follows_the_weights() -> None:
    taken = {ONE: 0, TWO: 0}
    for _ in range(9):
        taken[choose_gateway({ONE: Room(taken[ONE]), TWO: Room(taken[TWO], weight=2)}, TEN, 1)] += 1
    assert taken == {ONE: 3, TWO: 6}


def test_when_the_heavy_one_is_full_the_light_one_is_used_to_its_end() -> None:
    assert choose_gateway({ONE: Room(9), TWO: Room(10, weight=100)}, TEN, 1) == ONE


def test_where_no_gateway_takes_sessions_that_is_said() -> None:
    with pytest.raises(NoGateway, match="cordoned, drained or gone"):
        choose_gateway({}, TEN, 1)


def request(job: str, ports: int, asked_s: float) -> ForwardRequest:
    return forward(ports).model_copy(update={"job": job, "asked": at(asked_s)})


def test_of_two_that_asked_at_the_same_moment_exactly_one_is_first() -> None:
    one, two = request("aaaaaa", 1, 0), request("bbbbbb", 1, 0)
    assert (ports_ahead(one, (one, two)), ports_ahead(two, (one, two))) == (0, 1)


REQUESTS = st.lists(st.tuples(st.integers(1, 10), st.integers(0, 5)), min_size=1, max_size=6)


@given(asked=REQUESTS, taken=st.tuples(st.integers(0, 10), st.integers(0, 10)), whose=st.integers(0, 5))
def test_whoever_is_served_leaves_room_for_all_who_asked_earlier(
    asked: list[tuple[int, int]], taken: tuple[int, int], whose: int
) -> None:
    waiting = [request(f"waits{number}", ports, asked_s) for number, (ports, asked_s) in enumerate(asked)]
    mine = waiting[whose % len(waiting)]
    rooms = {ONE: taken[0], TWO: taken[1]}
    ahead = ports_ahead(mine, waiting)
    try:
        chosen = choose_gateway({name: Room(used) for name, used in rooms.items()}, TEN, mine.ports, ahead)
    except RangeFull:
        assert all(TEN.size - used < mine.ports + ahead for used in rooms.values())
        return
    rooms[chosen] += mine.ports
    for earlier in sorted((other for other in waiting if turn(other) < turn(mine)), key=turn):
        rooms[choose_gateway({name: Room(used) for name, used in rooms.items()}, TEN, earlier.ports)] += earlier.ports
    assert max(rooms.values()) <= TEN.size


@given(ports=st.lists(st.integers(1, 10), min_size=1, max_size=6))
def test_with_an_empty_range_everybody_is_served_in_turn(ports: list[int]) -> None:
    waiting = [request(f"waits{number}", count, number) for number, count in enumerate(ports)]
    while waiting:
        first = min(waiting, key=turn)
        assert choose_gateway({ONE: Room(0)}, TEN, first.ports, ports_ahead(first, waiting)) == ONE
        waiting.remove(first)
