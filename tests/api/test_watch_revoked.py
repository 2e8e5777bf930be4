"""A stream lasts no longer than the right to it."""

import pytest

from api import credentials
from api.middleware import DOORKEEPER
from api.roles import Role
from tests.api.streams import watching
from tests.api.test_watch import submit
from tests.unit.api.conftest import HASHES, Client, World, credential


def mine(role: Role) -> str:
    """Return the line of the credential that watches, with another role."""
    return credentials.line("portal", role, HASHES.by_name["portal"].proof)


LESS = {
    "taken away": (),
    "another password": (credential("portal", Role.PORTAL, "new"),),
    "another role": (mine(Role.VIEWER),),
}
NO_LESS = {
    "another line": (mine(Role.PORTAL), credential("other", Role.OPERATOR)),
    "a higher role": (mine(Role.OPERATOR),),
}


@pytest.fixture(autouse=True)
async def _users_exist(world: World) -> None:
    await world.answer("alice", 20001)


def read_again(portal: Client, *lines: str) -> None:
    """Have the credentials file say this from now on."""
    portal.app[DOORKEEPER].follow(credentials.read("\n".join(lines)))


@pytest.mark.parametrize("case", LESS)
async def test_who_may_no_more_hears_no_further_change(portal: Client, operator: Client, case: str) -> None:
    async with watching(portal) as stream:
        await stream.until("listed")
        read_again(portal, *LESS[case])
        await submit(operator, "first001")
        with pytest.raises(EOFError):
            await stream.next()


async def test_a_stream_of_who_may_no_more_ends_without_a_change(
    portal: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.watch.BEAT_S", 0.02)
    async with watching(portal) as stream:
        await stream.until("listed")
        read_again(portal)
        with pytest.raises(EOFError):
            await stream.next()


@pytest.mark.parametrize("case", NO_LESS)
async def test_a_change_of_the_file_that_takes_nothing_away_ends_no_stream(portal: Client, case: str) -> None:
    async with watching(portal) as stream:
        await stream.until("listed")
        read_again(portal, *NO_LESS[case])
        await submit(portal, "first001")

        assert (await stream.next()).shown["id"] == "first001"
