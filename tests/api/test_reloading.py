"""Credentials and certificates are read again while the process runs; what cannot be used changes nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from api import credentials
from api.auth import Shown
from api.client import Portal
from api.credentials import Certificate, Token
from api.problems import Problem
from api.reloading import LOOK_S, Reloadable, follow
from api.roles import Role
from reconciler.errors import ConfigError
from tests.unit.api.conftest import AUTHORIZATION, credential, doorkeeper

pytestmark = pytest.mark.looptime


class Site:
    """A credentials file that is followed."""

    def __init__(self, path: Path) -> None:
        self.path, self.hang_up = path, asyncio.Event()
        self.write(credential("portal", Role.PORTAL))
        self.doorkeeper = doorkeeper(credentials.load(path))
        self.reloadable = Reloadable("credentials", (path,), self._load)

    def _load(self) -> None:
        self.doorkeeper.follow(credentials.load(self.path))

    def write(self, *lines: str) -> None:
        """Replace the file, as editors do."""
        new = self.path.with_suffix(".new")
        new.write_text("\n".join(lines))
        new.rename(self.path)

    @asynccontextmanager
    async def followed(self) -> AsyncGenerator[None]:
        """Follow the file while the context is open."""
        task = asyncio.create_task(follow([self.reloadable], self.hang_up), name="follow")
        await asyncio.sleep(0)
        yield
        task.cancel()

    async def lets_in(self, authorization: str = AUTHORIZATION) -> Role | None:
        """Return as what somebody gets in, or None."""
        try:
            return (await self.doorkeeper.credential_of(Shown(authorization))).role
        except Problem:
            return None


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a credentials file."""
    return Site(tmp_path / "credentials")


async def test_a_changed_file_is_in_force_a_moment_later(site: Site) -> None:
    async with site.followed():
        before = await site.lets_in()
        site.write(credential("portal", Role.VIEWER), credential("other", Role.OPERATOR))
        await asyncio.sleep(LOOK_S + 1)
        other = Portal("", "other", "right").authorization

        assert (before, await site.lets_in(), await site.lets_in(other)) == (Role.PORTAL, Role.VIEWER, Role.OPERATOR)


async def test_a_credential_that_was_taken_away_lets_nobody_in_although_it_was_proven_before(site: Site) -> None:
    async with site.followed():
        await site.lets_in()
        site.write(credential("other", Role.PORTAL))
        await asyncio.sleep(LOOK_S + 1)

        assert await site.lets_in() is None


async def test_a_signal_has_it_read_at_once(site: Site) -> None:
    async with site.followed():
        site.write(credential("portal", Role.VIEWER))
        site.hang_up.set()
        await asyncio.sleep(0.01)

        assert await site.lets_in() is Role.VIEWER


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("portal:hunter2"), lambda path: path.unlink()])
async def test_a_bad_file_leaves_the_last_one_in_force_and_is_said_once(
    site: Site, spoil: Callable[[Path], object]
) -> None:
    async with site.followed():
        spoil(site.path)
        with capture_logs() as lines:
            await asyncio.sleep(5 * LOOK_S)
        still = await site.lets_in()
        site.write(credential("portal", Role.VIEWER))
        await asyncio.sleep(LOOK_S + 1)

        assert [line["event"] for line in lines] == ["file_refused"]
        assert "hunter2" not in str(lines)
        assert (still, await site.lets_in()) == (Role.PORTAL, Role.VIEWER)


TOKEN = "bwv_" + "t" * 43
LINES = {
    "a password and a role": (credential("a", Role.VIEWER), Role.VIEWER),
    "a password": (credential("a", Role.PORTAL).removesuffix(":portal"), Role.PORTAL),
    "a token and a role": (credentials.line("a", Role.OPERATOR, Token.of(TOKEN)), Role.OPERATOR),
    "a certificate and a role": (credentials.line("a", Role.VIEWER, Certificate()), Role.VIEWER),
    "a certificate": ("a:certificate", Role.PORTAL),
}


@pytest.mark.parametrize(("line", "role"), LINES.values(), ids=LINES)
def test_a_line_has_the_role_it_says_and_without_one_that_of_a_portal(line: str, role: Role) -> None:
    """Files from before there were roles keep working; a portal may all that portals need, and no force."""
    assert credentials.read(line).by_name["a"].role is role


@pytest.mark.parametrize("line", ["a:certificate:root", "a:certificate:", "a:token$abc", "a:token$!", "a::portal", "a"])
def test_a_line_that_means_nothing_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match="line 1"):
        credentials.read(line)


async def test_a_token_lets_in_only_as_a_token() -> None:
    keeper = doorkeeper(credentials.read(credentials.line("a", Role.VIEWER, Token.of(TOKEN))))
    with pytest.raises(Problem):
        await keeper.credential_of(Shown(Portal("", "a", TOKEN).authorization))
    with pytest.raises(Problem):
        await keeper.credential_of(Shown(f"Bearer {TOKEN[:-1]}"))

    assert (await keeper.credential_of(Shown(f"Bearer {TOKEN}"))).caller == ("a", Role.VIEWER)
    assert TOKEN not in credentials.line("a", Role.VIEWER, Token.of(TOKEN))
