"""Users who come and go all the time, whatever answers they get."""

import json
import random
import subprocess

from tests.lab.background import Background
from tests.lab.portal import Portal

AT_ONCE = 6
"""So many sessions are wished at the same time at most."""
PAUSE_S = 0.4


class Traffic(Background):
    """From ``with`` to its end: sessions are wished and unwished; each wish is repeated until it is heard."""

    def __init__(self, portal: Portal, seed: int) -> None:
        super().__init__("traffic")
        self.wished: list[str] = []
        """Jobs that somebody wants now."""
        self.begun = 0
        self.unheard = 0
        """Requests that got no answer, or one that says: later."""
        self._portal = portal
        self._chance = random.Random(seed)  # noqa: S311 - a test that can be repeated, no secret

    def _go_on(self) -> None:
        while not self._over.wait(self._chance.uniform(0, 2 * PAUSE_S)):
            if len(self.wished) < self._chance.randint(1, AT_ONCE):
                self.begun += 1
                self._insist("POST", "/v1/jobs", f"fire{self.begun:05}")
            elif self.wished:
                self._insist("DELETE", "/v1/jobs/", self._chance.choice(self.wished))

    def _insist(self, method: str, path: str, job: str) -> None:
        """Ask until somebody has taken it in, and keep the books."""
        wish = {"id": job, "user": "alice", "template": "alone.sh", "variables": {"page_title": job}}
        body = json.dumps(wish) if method == "POST" else None
        while not self._heard(method, path if body else path + job, body):
            self.unheard += 1
            if self._over.wait(PAUSE_S) and method == "DELETE":
                return
        if body:
            self.wished.append(job)
        else:
            self.wished.remove(job)

    def _heard(self, method: str, path: str, body: str | None) -> bool:
        try:
            return self._portal.ask(method, path, body).status < 500
        except (AssertionError, subprocess.TimeoutExpired):
            return False
