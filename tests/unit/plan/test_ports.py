"""Which ports and which gateway a job gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.base import GatewayName
from reconciler.model.wish import ForwardRequest
from reconciler.plan.ports import (
    NoGateway,
    PortRange,
    RangeFull,
    Room,
    Waiting,
    candidates,
    choose_gateway,
    ports_ahead,
    turn,
)
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


def waiting(job: str, ports: int, asked_s: float, gateway: GatewayName | None = None) -> Waiting:
    return Waiting(request(job, ports, asked_s), ports, gateway)


def test_of_two_that_asked_at_the_same_moment_exactly_one_is_first() -> None:
    one, two = waiting("aaaaaa", 1, 0), waiting("bbbbbb", 1, 0)
    assert [ports_ahead(each.request, (one, two), ONE) for each in (one, two)] == [0, 1]


def test_who_must_stay_on_one_gateway_is_ahead_there_and_nowhere_else() -> None:
    stays, free = waiting("aaaaaa", 3, 0, ONE), waiting("bbbbbb", 2, 1)
    last = request("cccccc", 1, 2)
    assert [ports_ahead(last, (stays, free), name) for name in (ONE, TWO)] == [5, 2]
    assert choose_gateway({ONE: Room(5, ahead=5), TWO: Room(7, ahead=2)}, TEN, 1) == TWO


def test_of_a_request_that_is_served_in_part_only_the_rest_is_ahead() -> None:
    part = Waiting(request("aaaaaa", 5, 0), missing=1, gateway=ONE)
    assert ports_ahead(request("bbbbbb", 1, 1), (part,), ONE) == 1


WAITING = st.lists(
    st.tuples(st.integers(1, 10), st.integers(0, 5), st.sampled_from([None, None, ONE, TWO])), min_size=1, max_size=6
)


@given(asked=WAITING, taken=st.tuples(st.integers(0, 10), st.integers(0, 10)), whose=st.integers(0, 5))
def test_whoever_is_served_leaves_room_for_all_who_asked_earlier(
    asked: list[tuple[int, int, GatewayName | None]], taken: tuple[int, int], whose: int
) -> None:
    line = [waiting(f"waits{number}", ports, asked_s, there) for number, (ports, asked_s, there) in enumerate(asked)]
    mine = line[whose % len(line)].request
    used = {ONE: taken[0], TWO: taken[1]}
    rooms = {name: Room(used[name], ahead=ports_ahead(mine, line, name)) for name in used}
    try:
        chosen = choose_gateway(rooms, TEN, mine.ports)
    except RangeFull:
        assert all(TEN.size - room.taken < mine.ports + room.ahead for room in rooms.values())
        return
    used[chosen] += mine.ports
    earlier = sorted((each for each in line if turn(each.request) < turn(mine)), key=lambda each: turn(each.request))
    for each in (each for each in earlier if each.gateway in {None, chosen}):
        there = each.gateway or choose_gateway({name: Room(count) for name, count in used.items()}, TEN, each.missing)
        used[there] += each.missing
    assert max(used.values()) <= TEN.size


@given(ports=st.lists(st.integers(1, 10), min_size=1, max_size=6))
def test_with_an_empty_range_everybody_is_served_in_turn(ports: list[int]) -> None:
    line = [waiting(f"waits{number}", count, number) for number, count in enumerate(ports)]
    while line:
        first = min((each.request for each in line), key=turn)
        assert choose_gateway({ONE: Room(0, ahead=ports_ahead(first, line, ONE))}, TEN, first.ports) == ONE
        line = [each for each in line if each.request != first]
