"""What is no request is refused like one: as a problem, with nothing of it repeated."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from email.parser import BytesHeaderParser
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from api.app import serving
from api.desk import Desk
from reconciler.config import Config
from tests.unit.api.conftest import AUTHORIZATION, HASHES, SECRET, SEED, World

SECRET_WORD = "hunter2"
LONG = (SECRET_WORD * 2000).encode()
HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: %b\r\n"
POST = HEAD % AUTHORIZATION.encode()

MALFORMED: dict[str, bytes] = {
    "a greeting of TLS": b"\x16\x03\x01 hunter2\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nAuthorization: hunter2\x00\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: hunter2\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "no method": b"hunter2\r\n\r\n",
    "another version": b"GET /hunter2 HTTP/9.9\r\nHost: x\r\n\r\n",
    "an address that is none": b"GET http://[hunter2 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header's name with a space": b"GET / HTTP/1.1\r\nhun ter2: hunter2\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nAuthorization hunter2\r\n\r\n",
    "too many headers": b"GET / HTTP/1.1\r\n" + b"hunter2: a\r\n" * 300 + b"\r\n",
    "a length below nothing": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a chunk without a length": POST + b"Transfer-Encoding: chunked\r\n\r\nhunter2\r\n{}\r\n",
}
LARGE: dict[str, bytes] = {
    "a header": b"GET / HTTP/1.1\r\nAuthorization: " + LONG + b"\r\n\r\n",
    "a header's name": b"GET / HTTP/1.1\r\n" + LONG + b": a\r\n\r\n",
    "an address": b"GET /" + LONG + b" HTTP/1.1\r\n\r\n",
}


class Answer(NamedTuple):
    """One answer, and that the connection ended after it."""

    status: int
    headers: Any
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body as the problem that it should be."""
        assert self.headers["Content-Type"].startswith("application/problem+json")
        return dict(json.loads(self.body))


async def answer_to(port: int, sent: bytes) -> Answer:
    """Send something and return what comes until the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(20):
        writer.write(sent)
        line, _, rest = (await reader.read(-1)).partition(b"\r\n")
    writer.close()
    head, _, body = rest.partition(b"\r\n\r\n")
    return Answer(int(line.split()[1]), BytesHeaderParser().parsebytes(head), body)


@pytest.fixture
async def port(world: World, unused_tcp_port_factory: Callable[[], int]) -> AsyncGenerator[int]:
    """Return the portal's port of doors as the process opens them."""
    portal, keyhole = unused_tcp_port_factory(), unused_tcp_port_factory()
    own = {
        "api": {"listen-port": portal, "keyhole-listen-ip": "127.0.0.1"},
        "keyholed-servers": [{"ip": "127.0.0.1", "port": keyhole}],
    }
    config = Config.model_validate(json.loads(SEED.read_text()) | own)
    desk = Desk(config=config, store=world.store, server_secret=SECRET, now=world.clock)
    async with serving(desk, HASHES):
        yield portal


@pytest.mark.parametrize("case", MALFORMED)
async def test_what_is_not_http_is_refused_as_a_problem(port: int, case: str) -> None:
    answer = await answer_to(port, MALFORMED[case])

    assert (answer.status, answer.problem["type"]) == (400, "/problems/http-malformed")
    assert {"title", "status", "detail", "instance", "request-id"} <= answer.problem.keys()


@pytest.mark.parametrize("case", LARGE)
async def test_a_line_that_is_too_long_is_refused_as_a_problem(port: int, case: str) -> None:
    answer = await answer_to(port, LARGE[case])

    assert (answer.status, answer.problem["type"]) == (431, "/problems/headers-large")


@pytest.mark.invariant("I11")
@pytest.mark.parametrize("case", MALFORMED | LARGE)
async def test_nothing_of_what_could_not_be_read_is_repeated(
    port: int, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """It may be a password in the wrong place: the library showed some of it, and left a stack trace in the log."""
    with capture_logs() as lines:
        answer = await answer_to(port, (MALFORMED | LARGE)[case])
    text = answer.body.decode() + json.dumps(lines, default=str)

    assert SECRET_WORD not in text
    assert "Traceback" not in text
    assert [line["event"] for line in lines if line["log_level"] != "info"] == []
    assert not caplog.records
    assert answer.problem["request-id"] == answer.headers["Bwvisu-Request-Id"]
    assert answer.problem["request-id"] in {line.get("request_id") for line in lines}


async def test_a_door_goes_on_after_what_was_not_http(port: int) -> None:
    await answer_to(port, MALFORMED["no method"])
    answer = await answer_to(port, b"GET /healthz HTTP/1.0\r\n\r\n")

    assert (answer.status, json.loads(answer.body)) == (200, {"status": "up"})
