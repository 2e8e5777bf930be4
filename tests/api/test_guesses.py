"""Who guesses passwords is not heard for long, and keeps out nobody who is known."""

import asyncio
from collections.abc import Sequence

import pytest

from api import credentials
from api.auth import Doorkeeper, Shown
from api.client import Portal
from api.credentials import Certificate, Token
from api.problems import Problem
from api.roles import Role
from tests.unit.api.conftest import AUTHORIZATION, Client, Clock, World, credential, doorkeeper

TOKEN = "bwv_" + "t" * 43
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
KNOWN = credentials.read(
    "\n".join(
        (
            credential("portal", Role.PORTAL),
            credentials.line("token", Role.VIEWER, Token.of(TOKEN)),
            credentials.line("certificate", Role.VIEWER, Certificate()),
        )
    )
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(clock: Clock) -> Doorkeeper:
    return doorkeeper(KNOWN, clock)


def guess(number: int, peer: str = HERE) -> Shown:
    """Return a wrong password; even numbers come with a name that there is."""
    return Shown(Portal("", "nobody" if number % 2 else "portal", f"guess {number}").authorization, peer)


async def said(keeper: Doorkeeper, *shown: Shown) -> Sequence[str]:
    """Return who is let in, or as which problem each is refused."""
    answers = []
    for each in shown:
        try:
            answers.append((await keeper.credential_of(each)).name)
        except Problem as problem:
            answers.append(problem.kind)
    return answers


async def test_an_address_is_heard_only_so_often_when_it_is_wrong(keeper: Doorkeeper, clock: Clock) -> None:
    burst = await said(keeper, *map(guess, range(8)))
    clock.advance(2)
    later = await said(keeper, *map(guess, range(4)))

    assert burst == ["credentials-wrong"] * 5 + ["guesses-too-many"] * 3
    assert later == ["credentials-wrong"] * 2 + ["guesses-too-many"] * 2


async def test_guesses_that_come_at_once_are_compared_no_more_often(keeper: Doorkeeper, hashed: list[str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(50):
            tasks.create_task(said(keeper, guess(number)), name=f"guess {number}")

    assert len(hashed) == 5


async def test_from_an_address_that_guesses_the_known_are_let_in_as_ever(keeper: Doorkeeper) -> None:
    """The portal may stand behind the same address as whoever guesses, such as that of a proxy."""
    known = (Shown(AUTHORIZATION, HERE), Shown(f"Bearer {TOKEN}", HERE), Shown("", HERE, "certificate"))
    await said(keeper, known[0])
    refused = await said(keeper, *map(guess, range(8)))

    assert refused[-1] == "guesses-too-many"
    assert await said(keeper, *known) == ["portal", "token", "certificate"]


async def test_another_address_is_heard_while_one_guesses(keeper: Doorkeeper) -> None:
    await said(keeper, *map(guess, range(8)))

    assert await said(keeper, guess(0, ELSEWHERE), Shown(AUTHORIZATION, ELSEWHERE)) == ["credentials-wrong", "portal"]


async def test_a_right_password_does_not_count(keeper: Doorkeeper) -> None:
    for _ in range(9):
        keeper.follow(credentials.read(credential("portal", Role.PORTAL)))  # a new line each time, so that it is hashed
        assert await said(keeper, Shown(AUTHORIZATION, HERE)) == ["portal"]

    assert await said(keeper, *map(guess, range(5))) == ["credentials-wrong"] * 5


async def test_who_guesses_at_the_door_is_told_when_to_come_back(world: World, stranger: Client) -> None:
    burst = world.config.api.wrong_passwords_burst
    headers = [{"Authorization": guess(number).authorization} for number in range(burst + 1)]
    answers = [await stranger.get("/v1/jobs", headers=each) for each in headers]

    assert [answer.status for answer in answers] == [401] * burst + [429]
    assert (await answers[-1].json())["type"] == "/problems/guesses-too-many"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 11
