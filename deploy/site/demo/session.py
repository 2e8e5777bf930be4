"""One job as its keys in etcd show it, told while it goes on."""

import time
from collections.abc import Callable
from typing import Any

from deploy.site.demo.screen import tick
from deploy.site.demo.telling import Teller
from deploy.site.demo.timeline import PREFIX, Timeline
from deploy.site.errors import SiteError

PATIENCE_S = 60.0
"""A busy machine may take its time; an idle one needs two seconds for a start and seven for a removal."""


class Session:
    """Follows one job from its wish on; times are milliseconds since the wish could be read."""

    def __init__(self, job: str, timeline: Timeline) -> None:
        self.job = job
        self.keys: dict[str, Any] = {}
        """What the job's keys hold now, by key without our prefix; JSON as in etcd."""
        self.deleted_at = 0.0
        """Monotonic seconds, when the wish's mark could be read."""
        self._wished_at = 0.0
        self._timeline = timeline
        self._teller = Teller(job)

    @property
    def report(self) -> Any:
        """Return what the controller reports, None before the first report and after the end."""
        return self.keys.get(f"observed/jobs/{self.job}")

    def since_wish_ms(self, at: float) -> float:
        """Return a monotonic time as milliseconds since the wish."""
        return (at - self._wished_at) * 1000

    def follow(self, content: Callable[[], bool], what: str) -> None:
        """Tell every change until it is so.

        Raises:
            SiteError: it is not, for too long.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not content():
            change = self._timeline.next(deadline)
            if change is None:
                raise SiteError(f"not within {PATIENCE_S:.0f} s: {what}")
            self._take(change.at, change.key.removeprefix(PREFIX), change.value)

    def _take(self, at: float, key: str, value: Any) -> None:
        if key == f"desired/jobs/{self.job}" and value is not None:
            self._wished_at = self._wished_at or at
            self.deleted_at = at if "deleted" in value else 0.0
        for who, text in self._teller.tell(key, value):
            tick(self.since_wish_ms(at), who, text)
        if value is None:
            self.keys.pop(key, None)
        elif key.endswith(f"/{self.job}") or value.get("job") == self.job:
            self.keys[key] = value
