"""Who may speak at the portal's door."""

import base64

import pytest

from api import credentials, passwords
from api.auth import Doorkeeper
from api.client import Portal
from api.problems import Problem
from api.roles import Role
from reconciler.errors import ConfigError
from tests.unit.api.conftest import ASKED, AUTHORIZATION, HASHES, Client, World, credential


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


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the passwords that are hashed, as they come."""
    passed: list[str] = []
    real = passwords.Hashed.proves

    def noted(self: passwords.Hashed, password: str) -> bool:
        passed.append(password)
        return real(self, password)

    monkeypatch.setattr(passwords.Hashed, "proves", noted)
    return passed


async def test_a_right_password_is_hashed_once_and_a_wrong_one_each_time(hashed: list[str]) -> None:
    doorkeeper = Doorkeeper(HASHES)
    callers = [await doorkeeper.caller_of(AUTHORIZATION) for _ in range(5)]
    for _ in range(3):
        with pytest.raises(Problem):
            await doorkeeper.caller_of(basic("portal:wrong"))

    assert callers == [("portal", Role.PORTAL)] * 5
    assert hashed == ["right", "wrong", "wrong", "wrong"]


async def test_the_memory_of_right_credentials_is_bounded(hashed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.PROVEN_LIMIT", 2)
    lines = [credential(name, Role.PORTAL, f"pw-{name}") for name in ("a", "b", "c")]
    doorkeeper = Doorkeeper(credentials.read("\n".join(lines)))
    for name in ("a", "b", "c", "c", "b", "a"):
        await doorkeeper.caller_of(Portal("", name, f"pw-{name}").authorization)

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
