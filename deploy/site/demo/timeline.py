"""Every change below our prefix in etcd, with the time at which it could be seen; `etcdctl watch` reports them."""

import json
import subprocess
import threading
import time
from base64 import b64decode
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from deploy.site.daemons import HOST, Daemons
from deploy.site.errors import SiteError

PREFIX = "/bwvisu/"
_DELETE = 1
"""etcd's number for the removal of a key; a put has 0, which JSON leaves out."""

JsonObject = dict[str, object]


@dataclass(frozen=True)
class Change:
    """One key was written, or removed."""

    at: float
    """Monotonic seconds, when the watch reported it."""
    key: str
    value: JsonObject | None
    """None: the key is gone."""


class Timeline:
    """All changes since it was opened, in etcd's order."""

    def __init__(self, daemons: Daemons) -> None:
        self._daemons = daemons
        self._changes: list[Change] = []
        self._taken = 0
        self._fresh = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="timeline", daemon=True)

    def __enter__(self) -> Self:
        """Watch from the next revision on, so that nothing is missed while etcdctl starts."""
        revision = json.loads(self._daemons.etcdctl("get", PREFIX, "--write-out=json"))["header"]["revision"]
        words = ["etcdctl", "watch", "--prefix", PREFIX, f"--rev={revision + 1}", "--write-out=json"]
        site = self._daemons.site
        self._watch = site.popen(HOST, ["env", "ETCDCTL_API=3", *words], stdout=subprocess.PIPE)
        self._reader.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End the watch."""
        self._watch.kill()
        self._watch.wait()
        self._reader.join()

    def next(self, deadline: float) -> Change | None:
        """Return the next change not taken yet, or None if there is none before the deadline (monotonic seconds).

        Raises:
            SiteError: the watch ended.
        """
        with self._fresh:
            while self._taken == len(self._changes):
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return None
                if not self._reader.is_alive():
                    raise SiteError("the watch on etcd ended")
                self._fresh.wait(min(left_s, 1.0))
            self._taken += 1
            return self._changes[self._taken - 1]

    def _read(self) -> None:
        assert self._watch.stdout is not None  # noqa: S101 - it was opened with a pipe
        for line in self._watch.stdout:
            at, told = time.monotonic(), json.loads(line)
            with self._fresh:
                self._changes += [_change(at, event) for event in told.get("Events") or ()]
                self._fresh.notify_all()


def _change(at: float, event: JsonObject) -> Change:
    pair = event["kv"]
    assert isinstance(pair, dict)  # noqa: S101 - the form of etcdctl's answer
    key = b64decode(pair["key"]).decode()
    gone = event.get("type") == _DELETE
    return Change(at, key, None if gone else json.loads(b64decode(pair["value"])))
