"""Running programs on the nodes, and what a wrong call is told."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.site import Site, SiteError
from tests.lab.actions import (
    LAB,
    PATIENCE_S,
    lab,
    wait_until,
)


def test_exec_passes_input_output_arguments_and_exit_code_exactly(site: Site) -> None:
    script = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()); print(sys.argv[1:]); sys.exit(7)"
    words = ["a b", "c'd\"", "", "--", "--user", "$HOME", "-x"]
    done = lab(site, "exec", "c1", sys.executable, "-u", "-c", script, *words, stdin=b"\x00\xff\n")
    assert done.stdout == b"\x00\xff\n" + repr(words).encode() + b"\n"
    assert done.returncode == 7


def test_exec_runs_as_a_user_in_their_home_and_as_root_in_the_callers_folder(site: Site) -> None:
    as_alice = lab(site, "exec", "--user", "alice", "c1", "sh", "-c", "id -un; pwd; echo $HOME")
    assert as_alice.stdout.decode().split() == ["alice", f"{site.home}/alice", f"{site.home}/alice"]
    assert lab(site, "exec", "c1", "pwd").stdout.decode().strip() == str(Path.cwd())


def test_a_programs_signals_are_its_own(site: Site) -> None:
    script = "trap 'exit 3' TERM; echo 1; while :; do sleep 0.1; done"
    with site.popen("mw", ["sh", "-c", script], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"1\n"
        running.terminate()
        assert running.wait(PATIENCE_S) == 3
    with site.popen("mw", ["sleep", "99"]) as sleeping:
        wait_until(lambda: sleeping.inner_pid is not None, "the program has begun")
        sleeping.kill()
        assert sleeping.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_program_that_was_stopped_can_go_on_and_end(site: Site) -> None:
    """Its nsenter stops along with it, and once stayed stopped: whoever waited for the program waited for ever."""
    with site.popen("cmd1", ["sleep", "0.5"]) as going, site.popen("cmd1", ["sleep", "600"]) as killed:
        for program in (going, killed):
            wait_until(lambda program=program: program.inner_pid is not None, "it runs")  # type: ignore[misc]
            program.send_signal(signal.SIGSTOP)
            wait_until(lambda program=program: is_stopped(program.pid), "nsenter stops too")  # type: ignore[misc]
        going.send_signal(signal.SIGCONT)
        killed.kill()
        assert going.wait(10) == 0
        assert killed.wait(10) == -signal.SIGKILL


def is_stopped(pid: int) -> bool:
    return ") T " in Path(f"/proc/{pid}/stat").read_text()


def test_orphans_are_reaped_by_the_first_process(site: Site) -> None:
    site.exec("outside", ["sh", "-c", "for i in 1 2 3; do setsid --fork true; done"])
    states = ["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || true"]
    wait_until(lambda: " Z " not in site.exec("outside", states).stdout, "no zombie is left")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["exec", "nowhere", "true"], [b"'nowhere'", b"cmd1", b"outside"]),
        (["reboot", "switch"], [b"'switch'", b"gw2"]),
        (["stop", "gw1", "etcd"], [b"'etcd'", b"sshd"]),
        (["flush", "c1"], [b"c1", b"gw1, gw2"]),
        (["exec", "c1"], [b"command"]),
    ],
)
def test_a_wrong_call_gets_one_sentence_that_names_it_and_what_is_allowed(
    site: Site, words: list[str], names: list[bytes]
) -> None:
    done = lab(site, *words)
    assert done.returncode == 2
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == 1
    for name in names:
        assert name in done.stderr


def test_an_unknown_site_is_named_with_those_there_are(site: Site) -> None:
    done = lab(Site("nosuch"), "status")
    assert done.returncode == 1
    assert b"'nosuch'" in done.stderr
    assert site.name.encode() in done.stderr


def test_without_root_there_is_one_clear_sentence() -> None:
    run_as_nobody = ["setpriv", "--reuid=65534", "--clear-groups", LAB]
    done = subprocess.run([*run_as_nobody, "up"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "root" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_site_cannot_be_named_after_a_path() -> None:
    with pytest.raises(SiteError, match="name"):
        Site("../precious")
