"""What an existing portal may ask for at the original interface, and in which words it is refused."""

import json
from urllib.parse import quote

import pytest

from tests.api.original import ASKED, TEMPLATE, VARIABLES
from tests.unit.api.conftest import Client, World

pytestmark = pytest.mark.usefixtures("original_site")


@pytest.mark.parametrize("value", ["a b", "a;b", "$(id)", "a\nb", "a'b", 'a"b', "ä", "a\x00", "../up", 7, None, ["a"]])
async def test_a_variable_that_holds_another_character_is_refused_and_named(
    world: World, portal: Client, value: object
) -> None:
    before = await world.wishes()
    response = await portal.post("/jobs", json=ASKED | {"variables": VARIABLES | {"image_name": value}})

    assert response.status == 422
    assert (await response.json())["field"] == "/variables/image_name"
    assert await world.wishes() == before


@pytest.mark.parametrize(
    "name",
    [
        "paraview-5.11.1.sh",
        "template xpra.txt",
        "a+b.sh",
        "a..b",
        "100%.sh",
        "{{x}}.sh",
        "-f",
        "'; id; '",
        "münchen.sh",
    ],
)
async def test_a_template_may_have_any_name_that_the_page_allows(world: World, portal: Client, name: str) -> None:
    """The page forbids the slash, the backslash and the line break only; more than half of these were refused."""
    (world.config.templates_directory / name).write_text(TEMPLATE)
    made = await portal.post("/jobs", json=ASKED | {"template-name": name})
    job = (await made.json())["job-id"]
    shown = await (await portal.get(f"/jobs/{job}")).json()
    described = await portal.get(f"/v1/templates/{quote(name, safe='')}")
    script = await portal.get(f"/v1/jobs/{job}/script")

    assert (made.status, shown["batch-script"]["template-name"]) == (200, name)
    assert (described.status, (await described.json())["name"], script.status) == (200, name, 200)


@pytest.mark.parametrize(
    "name",
    [
        *("a/b.txt", "a\\b.txt", "a\nb.txt", "../template_xpra.txt", "none.txt"),
        *("", ".", "..", ".hidden", "a\x00", "a\x1b[2J", "a\u2028b", "a" * 256),
    ],
)
async def test_a_template_with_a_wrong_name_is_refused_in_the_interfaces_own_words(
    world: World, portal: Client, name: str
) -> None:
    before = await world.wishes()
    response = await portal.post("/jobs", json=ASKED | {"template-name": name})

    assert (response.status, response.content_type) == (422, "application/json")
    assert (await response.json())["field"] == "/template-name"
    assert await world.wishes() == before


async def test_a_user_who_does_not_exist_gets_no_job(world: World, portal: Client) -> None:
    before = await world.wishes()
    response = await portal.post("/jobs", json=ASKED | {"uid": "nobody-here"})

    assert (response.status, (await response.json())["field"]) == (422, "/uid")
    assert await world.wishes() == before


@pytest.mark.parametrize("missing", ["uid", "template-name"])
async def test_a_missing_field_is_named(portal: Client, missing: str) -> None:
    asked = {name: value for name, value in ASKED.items() if name != missing}
    problem = await (await portal.post("/jobs", json=asked)).json()

    assert (problem["status"], problem["field"]) == (422, f"/{missing}")


async def test_a_request_with_a_key_may_be_sent_again(world: World, portal: Client) -> None:
    """The original has no such header; a portal that adds it loses its fear of lost answers."""
    headers = {"Idempotency-Key": "session-42"}
    ids = {json.dumps(await (await portal.post("/jobs", json=ASKED, headers=headers)).json()) for _ in range(3)}

    assert len(ids) == 1
    assert len((await world.store.list(world.keys.wishes)).entries) == 1
