"""Run the batch script, and tell the keyhole how it ended; travels in the batch script.

Standard library only, no syntax after Python 3.6.
"""

import http.client
import json
import os
import signal
import stat
import subprocess
from collections.abc import Mapping

from reconciler.batchscript.keyhole_call import FINAL, Call, ask, say

EXIT_TIMEOUT_S = 2.0
"""One try to tell the end; Slurm gives a cancelled job 30 s (KillWait) to come to it."""
LOG_TAIL_BYTES = 8192
FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that Slurm may send to the batch script alone; the watcher passes them on."""
TOLD = 204


def watch(call: Call, script: "list[str]") -> int:
    """Run a script as Slurm would, tell the keyhole how it ended, and return its exit status as a shell counts it."""
    environment = dict(os.environ, BWVISU_WATCHED=os.environ.get("SLURM_JOB_ID", "none"))
    words = interpreter(script[0]) + script
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603 - the job's own script
    for name in FORWARDED:
        signal.signal(getattr(signal, name), lambda number, _frame: child.send_signal(number))
    status = child.wait()
    exit_code = status if status >= 0 else 128 - status
    try:
        tell_exit(call, exit_body(exit_code, log_tail(), os.environ))
    except (KeyError, ValueError, OSError) as error:
        say(f"how this script ended is not told: {type(error).__name__}: {error}")
    return exit_code


def interpreter(script: str) -> "list[str]":
    """Return the words of a script's ``#!`` line, the rest of the line being one word, as Linux has it."""
    with open(script, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - no need to load pathlib
        return file.readline().strip()[2:].split(None, 1)


def log_tail() -> str:
    """Return the end of the job's log, which standard output leads to; empty where it is no file."""
    if not stat.S_ISREG(os.fstat(1).st_mode):
        return ""
    with open("/proc/self/fd/1", "rb") as log:  # noqa: PTH123 - no need to load pathlib
        log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
        return log.read(LOG_TAIL_BYTES).decode("utf-8", "replace")


def exit_body(exit_code: int, tail: str, environment: "Mapping[str, str]") -> bytes:
    """Return what the keyhole is told of the end."""
    told = {
        "slurm-job-id": int(environment["SLURM_JOB_ID"]),
        "restarts": int(environment.get("SLURM_RESTART_COUNT") or 0),
        "exit-code": exit_code,
        "log-tail": tail,
    }
    return json.dumps(told, sort_keys=True).encode()


def tell_exit(call: Call, body: bytes) -> None:
    """Tell each server in turn until one has heard it, twice at most; none is waited for long, and none must."""
    for server in call.servers[:3] * 2:
        try:
            status, _ = ask(server, call, f"/keyhole/v1/jobs/{call.job}/exit", body, EXIT_TIMEOUT_S)
        except (OSError, http.client.HTTPException):
            continue
        if status == TOLD or status in FINAL:
            return
