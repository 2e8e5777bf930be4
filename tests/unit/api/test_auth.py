"""Who may speak at the portal's door."""

import asyncio
import base64
import hashlib
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from api import credentials, passwords
from api.auth import CHECKS_AT_ONCE, Shown
from api.client import Portal
from api.credentials import Credentials
from api.problems import Problem
from api.roles import Role
from reconciler.errors import ConfigError
from tests.unit.api.conftest import ASKED, AUTHORIZATION, HASHES, Client, World, credential, doorkeeper


def basic(text: str) -> str:
    """Return a header of basic authentication."""
    return "Basic " + base64.b64encode(text.encode()).decode()


WRONG = [
    "",
    "Basic",
    "Basic !!!",
    "Basic " + base64.b64encode(b"\xff\xfe").decode(),
    basic("portal"),
    basic("portal:"),
    basic("portal:wrong"),
    basic("portal:right "),
    basic("nobody:right"),
    basic(":right"),
    AUTHORIZATION.replace("Basic", "Bearer"),
    "Bearer",
    "Bearer bwv_guessed",
    "Digest x",
]


@pytest.mark.parametrize("authorization", WRONG)
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("DELETE", "/v1/jobs/abcdef")])
async def test_nobody_gets_in_without_name_and_password(
    world: World, stranger: Client, authorization: str, method: str, path: str
) -> None:
    body = ASKED if method == "POST" else None
    response = await stranger.request(method, path, json=body, headers={"Authorization": authorization})

    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert (await response.json())["type"] == "/problems/credentials-wrong"
    assert await world.wishes() == {}


async def test_health_is_told_without_a_password(stranger: Client) -> None:
    assert [(await stranger.get(path)).status for path in ("/healthz", "/readyz")] == [200, 200]


async def test_a_right_password_is_hashed_once_and_a_wrong_one_each_time(hashed: list[str]) -> None:
    keeper = doorkeeper(HASHES)
    callers = [await keeper.credential_of(Shown(AUTHORIZATION)) for _ in range(5)]
    for _ in range(3):
        with pytest.raises(Problem):
            await keeper.credential_of(Shown(basic("portal:wrong")))

    assert callers == [HASHES.by_name["portal"]] * 5
    assert hashed == ["right", "wrong", "wrong", "wrong"]


async def test_of_many_who_give_the_same_password_at_once_few_are_hashed(hashed: list[str]) -> None:
    """Each was hashed: after a restart a portal with hundreds of requests under way was told that we are too busy."""
    keeper = doorkeeper(HASHES)
    async with asyncio.TaskGroup() as tasks:
        for n in range(200):
            tasks.create_task(keeper.credential_of(Shown(AUTHORIZATION)), name=f"request {n}")

    assert len(hashed) <= CHECKS_AT_ONCE


async def test_no_password_is_hashed_on_the_event_loop_also_when_the_file_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each reading made a new hash, in which nobody was served."""
    threads: set[int] = set()
    scrypt = hashlib.scrypt

    def noted(*arguments: Any, **options: Any) -> bytes:
        threads.add(threading.get_ident())
        return scrypt(*arguments, **options)

    monkeypatch.setattr(hashlib, "scrypt", noted)
    keeper = doorkeeper(HASHES)
    for given in (AUTHORIZATION, basic("portal:wrong"), basic("nobody:right")):
        keeper.follow(HASHES)
        with suppress(Problem):
            await keeper.credential_of(Shown(given))

    assert threads
    assert threading.get_ident() not in threads


async def test_a_password_that_was_proven_stays_so_when_other_lines_change(hashed: list[str]) -> None:
    keeper = doorkeeper(HASHES)
    await keeper.credential_of(Shown(AUTHORIZATION))
    mine = HASHES.by_name["portal"]
    keeper.follow(Credentials({"portal": replace(mine, role=Role.VIEWER)}))
    lowered = await keeper.credential_of(Shown(AUTHORIZATION))
    keeper.follow(credentials.read(credential("portal", Role.PORTAL, "new")))
    with pytest.raises(Problem):
        await keeper.credential_of(Shown(AUTHORIZATION))

    assert lowered.caller == ("portal", Role.VIEWER)
    assert hashed == ["right", "right"], "once for the line that stayed, once for the one with a new password"


async def test_a_password_that_was_changed_while_it_was_being_checked_opens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeper = doorkeeper(HASHES)
    proves = passwords.Hashed.proves

    def replaced_meanwhile(self: passwords.Hashed, password: str) -> bool:
        keeper.follow(credentials.read(credential("portal", Role.PORTAL, "new")))
        return proves(self, password)

    monkeypatch.setattr(passwords.Hashed, "proves", replaced_meanwhile)
    with pytest.raises(Problem):
        await keeper.credential_of(Shown(AUTHORIZATION))


async def test_the_memory_of_right_credentials_is_bounded(hashed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.PROVEN_LIMIT", 2)
    lines = [credential(name, Role.PORTAL, f"pw-{name}") for name in ("a", "b", "c")]
    keeper = doorkeeper(credentials.read("\n".join(lines)))
    for name in ("a", "b", "c", "c", "b", "a"):
        await keeper.credential_of(Shown(Portal("", name, f"pw-{name}").authorization))

    assert hashed == ["pw-a", "pw-b", "pw-c", "pw-a"], "the oldest was forgotten for the third"


def test_a_line_of_the_credentials_proves_its_password_and_does_not_hold_it() -> None:
    line = credential("portal", Role.PORTAL, "hunter2")
    hashed = credentials.read(f"# who\n\n{line}\n").password_of("portal")

    assert "hunter2" not in line
    assert hashed is not None
    assert hashed.proves("hunter2")
    assert not hashed.proves("hunter3")
    assert line != credential("portal", Role.PORTAL, "hunter2")


@pytest.mark.parametrize("text", ["portal:hunter2", "portal", "a b:scrypt$16$x$y", ":"])
def test_a_wrong_line_is_named_by_its_number_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="line 2") as refused:
        credentials.read(f"# who\n{text}\n")

    assert "hunter2" not in str(refused.value)


def test_a_name_stands_once_in_the_credentials() -> None:
    line = credential("portal", Role.PORTAL)

    with pytest.raises(ConfigError, match="line 2"):
        credentials.read(f"{line}\n{line}\n")
