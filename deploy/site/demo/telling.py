"""What a change in etcd means for one job, as sentences; a condition is told when it changes only."""

from collections.abc import Iterator
from typing import Any

Told = tuple[str, str]
"""Who did it, and what."""

LEASES = "leases/ports/"


class Teller:
    """Remembers what it told of one job."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._phase = ""
        self._claims: dict[str, tuple[str, str]] = {}
        self._leases: set[str] = set()

    def tell(self, key: str, value: Any) -> Iterator[Told]:
        """Yield what a change says about the job: a key without our prefix, and its value or None if it is gone."""
        kind, _, name = key.rpartition("/")
        if key.startswith(LEASES):
            yield from self._of_lease(key.removeprefix(LEASES), value)
        elif name == self._job:
            yield from self._of_job(kind, value)

    def _of_job(self, kind: str, value: Any) -> Iterator[Told]:
        match kind:
            case "desired/jobs" if value is None:
                yield "controller", "nothing of it is left: removes its keys"
            case "desired/jobs" if "deleted" in value:
                yield "API", "marks the wish as deleted"
            case "desired/jobs":
                yield "API", "writes the wish"
            case "desired/forwards" if value is not None:
                yield "job", f"asks through the keyhole for {value['ports']} port(s) to {value['nodes'][0]}"
            case "observed/jobs" if value is not None:
                yield from self._of_report(value)

    def _of_report(self, report: Any) -> Iterator[Told]:
        for condition in report["conditions"]:
            claim = (condition["status"], condition["reason"])
            if self._claims.get(condition["type"]) != claim:
                self._claims[condition["type"]] = claim
                yield "controller", f"{condition['type']} {condition['status']}: {condition['message']}"
        if report["phase"] != self._phase:
            self._phase = report["phase"]
            yield "controller", f"phase {report['phase']}"

    def _of_lease(self, name: str, lease: Any) -> Iterator[Told]:
        if lease is None and name in self._leases:
            yield "controller", f"the quarantine of {name} is over: removes its lease"
        elif lease is not None and lease["job"] == self._job:
            self._leases.add(name)
            if "quarantine-ends" in lease:
                yield "controller", f"gives back {name}: to be closed, then in quarantine"
            else:
                yield "controller", f"leases {name} for {lease['target-host']} ({lease['target-ip']})"
