"""What a key may hold, and what an operator reads when it holds something else."""

import re
from pathlib import Path

import pytest
from pydantic import JsonValue

from reconciler.config import load
from tests.unit.config.documents import EXAMPLE, changed, loaded, refusal


def test_the_seeds_example_is_accepted_unchanged() -> None:
    config = load(EXAMPLE, {})

    assert str(config.gateway_nodes[1].external_ip) == "129.206.9.253"
    assert config.debug.keyholed_static_forwarding is False
    assert config.forwarding_hostname_suffix == "-ib0"
    assert (config.keyholed_port_range.size, 60000 in config.keyholed_port_range) == (10001, True)


@pytest.mark.parametrize(("written", "meant"), [("True", True), ("true", True), (True, True), ("False", False)])
def test_a_switch_may_be_a_string_as_in_the_seed(tmp_path: Path, written: JsonValue, meant: bool) -> None:
    config = loaded(tmp_path, changed((("debug", "keyholed-static-forwarding"), written)))

    assert config.debug.keyholed_static_forwarding is meant


def test_nodes_without_a_name_are_named_by_their_order(tmp_path: Path) -> None:
    config = loaded(tmp_path, changed((("gateway-nodes", 0, "name"), "north")))

    assert [node.name for node in config.gateway_nodes] == ["north", "gateway-2"]
    assert [node.name for node in config.command_nodes] == ["command-1", "command-2"]


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("gateway-nodes", 0, "port"), 70000, "found 70000, allowed is a whole number from 1 to 65535"),
        (("gateway-nodes", 0, "port"), "22", 'found "22", allowed is a whole number from 1 to 65535'),
        (("gateway-nodes", 0, "port"), True, "found true, allowed is a whole number from 1 to 65535"),
        (("gateway-nodes", 0, "external-ip"), "login1", 'found "login1", allowed is an IPv4 address'),
        (("gateway-nodes", 0, "external-ip"), "2001:db8::1", 'found "2001:db8::1", allowed is an IPv4 address: IPv6'),
        (("gateway-nodes", 0, "user"), "Root!", 'found "Root!", allowed is text that matches `^[a-z_]'),
        (("gateway-nodes", 0), 3, "found 3, allowed is an object"),
        (("gateway-nodes",), [], "found a list of 0, allowed is a list of 1 to 64 objects"),
        (("command-nodes",), {}, "found an object, allowed is a list of 1 to 16 objects"),
        (("bwvisu-home-prefix",), "home", 'found "home", allowed is a path that matches `^/`'),
        (("debug", "keyholed-static-forwarding"), "no", 'found "no", allowed is one of true, false, "True"'),
        (("log-level",), "loud", 'found "loud", allowed is one of "debug", "info", "warning", "error"'),
        (("ssh",), None, "found null, allowed is an object"),
        (("ssh", "connect-timeout-s"), 0, "found 0, allowed is a number above 0, at most 86400"),
        (("etcd", "prefix"), "x" * 999, f'found "{"x" * 59}…, allowed is text that matches'),
    ],
)
def test_a_wrong_key_is_named_with_what_was_found_and_what_is_allowed(
    tmp_path: Path, path: tuple[str | int, ...], value: JsonValue, line: str
) -> None:
    key = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, path)))

    [said] = refusal(tmp_path, changed((path, value)))

    assert said.startswith(f"{key}: {line}")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    lines = refusal(tmp_path, changed((("keyholed-port-range",), {"min": 50000})))

    assert lines == ["keyholed-port-range.max: found nothing, allowed is a whole number from 1024 to 65535"]


def test_an_unknown_key_is_refused_with_the_key_that_was_probably_meant(tmp_path: Path) -> None:
    lines = refusal(tmp_path, changed((("gateway-nodes", 1, "external_ip"), "192.0.2.1")))

    [line] = lines
    assert line == (
        "gateway-nodes[1].external_ip: found an unknown key, did you mean external-ip? "
        "allowed are internal-ip, external-ip, user, port, name, weight"
    )


def test_every_wrong_key_has_a_line_of_its_own(tmp_path: Path) -> None:
    lines = refusal(tmp_path, changed((("log-level",), 1), (("ssh", "x\ny"), 1), (("api", "listen-port"), 0)))

    assert [line.split(": ")[0] for line in lines] == ["log-level", "api.listen-port", 'ssh."x\\ny"']


@pytest.mark.parametrize("key", ["password", "etcd-password", "private-key"])
def test_what_may_be_a_secret_is_not_repeated(tmp_path: Path, key: str) -> None:
    lines = refusal(tmp_path, changed((("etcd", key), "hunter2"), (("ssh", "private-key-file"), ["hunter2"])))

    assert len(lines) == 2
    assert "hunter2" not in "".join(lines)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1,\n b', "line 2, column 2: not JSON: Expecting property name enclosed in double quotes"),
        ("", "line 1, column 1: not JSON: Expecting value"),
        ('{"ssh": {"user": 1, "user": 2}}', "user: found twice in one object, allowed once"),
        ('{"a": NaN}', "found NaN, allowed are JSON's own numbers"),
        ("[]", "the file: found a list of 0, allowed is an object"),
    ],
)
def test_a_file_that_is_no_plain_json_is_refused(tmp_path: Path, text: str, line: str) -> None:
    assert refusal(tmp_path, text) == [line]
