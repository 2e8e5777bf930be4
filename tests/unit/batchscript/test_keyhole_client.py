"""The client inside the job, as far as it decides: nodes, signatures, lines of shell."""

import ast
import itertools
import json
import socket
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.batchscript import forwarding, keyhole_client
from reconciler.batchscript.keyhole_call import Call, ask, sign
from reconciler.batchscript.keyhole_client import Refusal, as_shell, expand, request_body, taken, usable_ports
from reconciler.batchscript.keyhole_watch import exit_body, interpreter, tell_exit
from reconciler.batchscript.token import SignedRequest, signature
from reconciler.model.wish import BUSY_LIMIT

SOURCE = forwarding.client()
CALL = Call("job001", "token", [], 1, 300.0)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("c1", ["c1"]),
        ("c1,c2", ["c1", "c2"]),
        ("c[1-3]", ["c1", "c2", "c3"]),
        ("c[1,3,5-6]", ["c1", "c3", "c5", "c6"]),
        ("c[07-10]", ["c07", "c08", "c09", "c10"]),
        ("c[099-101]", ["c099", "c100", "c101"]),
        ("c[1-2]-x[1-2]", ["c1-x1", "c1-x2", "c2-x1", "c2-x2"]),
        ("c[1-3,07-09]-ib0,gpu1", ["c1-ib0", "c2-ib0", "c3-ib0", "c07-ib0", "c08-ib0", "c09-ib0", "gpu1"]),
        ("gpu1,c[1-2]", ["gpu1", "c1", "c2"]),
        ("node.example.org", ["node.example.org"]),
    ],
)
def test_a_node_list_of_slurm_is_expanded_in_its_order(text: str, nodes: list[str]) -> None:
    assert expand(text) == nodes


@pytest.mark.parametrize("text", ["", "c[1-100000000]", "c[1-1000]x[1-2]"])
def test_a_node_list_that_is_none_or_endless_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        expand(text)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=20), st.sampled_from([1, 2, 4]))
def test_single_numbers_and_ranges_of_one_mean_the_same(numbers: list[int], width: int) -> None:
    single = ",".join(f"{n:0{width}d}" for n in numbers)
    ranges = ",".join(f"{n:0{width}d}-{n:0{width}d}" for n in numbers)

    assert expand(f"c[{single}]") == expand(f"c[{ranges}]") == [f"c{n:0{width}d}" for n in numbers]


@given(st.binary(max_size=200), st.text("abc/-0", max_size=40), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_the_client_signs_as_the_keyhole_checks(body: bytes, path: str, token: str) -> None:
    headers = sign(token, path, body)
    call = SignedRequest("POST", path, headers["Bwvisu-Timestamp"], headers["Bwvisu-Nonce"], body)

    assert headers["Bwvisu-Signature"] == signature(token, call)


def test_the_request_says_which_run_of_the_job_asks() -> None:
    told = {"SLURM_JOB_NODELIST": "c[1-2]", "SLURM_JOB_ID": "4711"}

    assert json.loads(request_body(2, (), told)) == {
        "ports": 2,
        "nodes": ["c1", "c2"],
        "slurm-job-id": 4711,
        "restarts": 0,
        "node-rank": 0,
    }
    assert json.loads(request_body(2, (), told | {"SLURM_RESTART_COUNT": "3"}))["restarts"] == 3
    assert json.loads(request_body(2, (), told | {"KEYHOLE_NODE_RANK": "1"}))["node-rank"] == 1
    assert json.loads(request_body(2, [50007], told))["busy"] == [50007]


def service(**changes: object) -> dict[str, object]:
    """Return one right service with some members changed."""
    return {"index": 0, "port": 50007, "gateway": "203.0.113.101", "external-port": 50008} | changes


def test_the_answer_becomes_exported_variables_in_the_order_of_the_ports() -> None:
    answer = {"services": [service(index=1, port=50009), service()]}

    assert as_shell(json.dumps(answer), 2) == (
        "export KEYHOLE_PORT0=50007\nexport KEYHOLE_GATEWAY0=203.0.113.101\nexport KEYHOLE_EXTERNAL_PORT0=50008\n"
        "export KEYHOLE_PORT1=50009\nexport KEYHOLE_GATEWAY1=203.0.113.101\nexport KEYHOLE_EXTERNAL_PORT1=50008\n"
    )


@pytest.mark.parametrize(
    "changes", [{"port": "1;id"}, {"gateway": "$(id)"}, {"gateway": "a.example"}, {"external-port": None}, {"index": 1}]
)
def test_an_answer_with_anything_else_in_it_is_never_evaluated(changes: dict[str, object]) -> None:
    with pytest.raises((Refusal, ValueError, TypeError)):
        as_shell(json.dumps({"services": [service(**changes)]}), 1)


def test_the_client_is_written_for_python_3_6_and_imports_nothing_but_its_library() -> None:
    tree = ast.parse(SOURCE, feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    standard = "hashlib hmac http.client ipaddress json os random re signal socket ssl stat subprocess sys time"
    assert imported == {*standard.split(), "collections.abc", "typing"}
    assert "removeprefix" not in SOURCE
    assert "from __future__ import annotations" not in SOURCE, "that came with 3.7"


def test_annotations_that_3_6_cannot_evaluate_are_quoted() -> None:
    """``list[str]`` came with 3.9: evaluated in 3.6 it would end the job before its first line."""
    functions = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.FunctionDef)]
    annotations = [node.returns for node in functions] + [
        arg.annotation for node in functions for arg in node.args.args
    ]

    assert annotations
    assert all(annotation is None or isinstance(annotation, ast.Name | ast.Constant) for annotation in annotations)


def test_the_lines_around_the_client_cannot_be_ended_by_it() -> None:
    assert not any(line in {"BWVISU_CLIENT_ENDS", "BWVISU_CALL_ENDS"} for line in SOURCE.splitlines())


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for a port."""
    monkeypatch.setattr(keyhole_client, "BIND_PATIENCE_S", 0.0)
    monkeypatch.setattr(keyhole_client, "FIRST_PAUSE_S", 0.0)


@pytest.mark.usefixtures("_hasty")
def test_a_port_that_somebody_listens_on_is_taken_until_he_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        answer = json.dumps({"services": [service(port=port)]})
        assert taken(answer) == [port]

    assert taken(answer) == []


TOLD = {"SLURM_JOB_NODELIST": "c1", "SLURM_JOB_ID": "4711"}


class Keyhole:
    """Gives one port after the other, and hears which of them are busy."""

    def __init__(self, ports: Iterable[int]) -> None:
        self.asked: list[dict[str, object]] = []
        self._ports = iter(ports)

    def answer(self, _call: Call, body: bytes, _gives_up: float) -> str:
        self.asked.append(json.loads(body))
        return json.dumps({"services": [service(port=next(self._ports))]})


@pytest.mark.usefixtures("_hasty")
def test_a_job_asks_for_another_port_in_place_of_each_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, soon_free = (socket.create_server(("127.0.0.1", 0)) for _ in range(3))
    busy, free = [one.getsockname()[1], two.getsockname()[1]], soon_free.getsockname()[1]
    soon_free.close()
    with one, two:
        keyhole = Keyhole([*busy, free])
        monkeypatch.setattr(keyhole_client, "ask_until_answered", keyhole.answer)
        lines = usable_ports(CALL, TOLD)

    assert f"export KEYHOLE_PORT0={free}\n" in lines
    assert not any(str(port) in lines for port in busy)
    assert [asked.pop("busy", []) for asked in keyhole.asked] == [[], busy[:1], busy]
    assert keyhole.asked == [keyhole.asked[0]] * 3, "all else is the same"


@pytest.mark.usefixtures("_hasty")
def test_a_job_whose_node_has_no_port_to_spare_gives_up_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    keyhole = Keyhole(itertools.count(20007))
    monkeypatch.setattr(keyhole_client, "ask_until_answered", keyhole.answer)
    monkeypatch.setattr(keyhole_client, "_binds", lambda _port: False)
    with pytest.raises(Refusal, match="port 20039 is taken on this node"):
        usable_ports(CALL, TOLD)

    assert len(keyhole.asked) == BUSY_LIMIT + 1
    assert keyhole_client.BUSY_LIMIT == BUSY_LIMIT, "as the keyhole has it"


def test_ports_of_another_node_are_taken_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyhole_client, "ask_until_answered", Keyhole([20007]).answer)
    monkeypatch.setattr(keyhole_client, "_binds", lambda _port: False)

    assert "KEYHOLE_PORT0=20007" in usable_ports(CALL, TOLD | {"KEYHOLE_NODE_RANK": "1"})


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("#!/bin/sh", ["/bin/sh"]),
        ("#! /bin/bash -l", ["/bin/bash", "-l"]),
        ("#!/usr/bin/env -S zsh -f", ["/usr/bin/env", "-S zsh -f"]),
    ],
)
def test_a_script_is_run_by_the_words_of_its_first_line_as_linux_does(
    tmp_path: Path, first: str, words: list[str]
) -> None:
    (tmp_path / "script").write_text(f"{first}\ntrue\n")

    assert interpreter(str(tmp_path / "script")) == words


def test_the_end_of_a_run_is_told_with_its_log() -> None:
    told = {"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": "1"}

    assert json.loads(exit_body(137, "Killed\n", told)) == {
        "slurm-job-id": 4711,
        "restarts": 1,
        "exit-code": 137,
        "log-tail": "Killed\n",
    }


def test_a_keyhole_that_is_gone_keeps_no_job_from_ending(unused_tcp_port: int) -> None:
    gone = [f"127.0.0.1:{unused_tcp_port}"]

    tell_exit(CALL._replace(servers=gone), b"{}")

    with pytest.raises(OSError, match="refused"):
        ask(gone[0], CALL, "/", b"{}")
