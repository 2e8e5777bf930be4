"""The portal of a site: asks the API over HTTP as a web portal does, and waits for what comes of it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deploy.site import Site
from deploy.site.daemons import HOST, OPERATOR, Daemons
from reconciler.model.report import Phase, Report
from tests.lab.actions import PATIENCE_S

API = "http://127.0.0.1:4242"
GONE = 404
SLOWEST_S = 40.0
"""An answer that takes longer than this never comes."""


@dataclass(frozen=True)
class Answer:
    """What the API said."""

    status: int
    content_type: str
    text: str

    @property
    def members(self) -> dict[str, object]:
        return dict(json.loads(self.text))


class Link(NamedTuple):
    """Where users reach one port of a job."""

    ip: str
    port: int


class Portal:
    """One portal with its credentials."""

    def __init__(self, daemons: Daemons) -> None:
        self.daemons = daemons
        self.site: Site = daemons.site
        self.answers: list[Answer] = []
        """Everything the API ever said to us."""
        self.submitted: list[str] = []
        """Every job that `submit` wished for."""
        self.shared: tuple[str, ...] = ()
        """Those that the module's tests have in common."""
        self._login = self._write_login("portal", "curlrc")

    def ask(self, method: str, path: str, body: str | None = None, *, login: Path | None = None) -> Answer:
        """Ask once, as ourselves or with another curl configuration for a login."""
        words = ["curl", "--silent", "--show-error", "--max-time", str(SLOWEST_S), "--request", method]
        words += ["--config", str(login or self._login), "--write-out", r"\n%{http_code} %{content_type}"]
        if body is not None:
            words += ["--header", "Content-Type: application/json", "--data-binary", "@-"]
        done = self.site.exec(HOST, [*words, API + path], stdin=body or "")
        assert done.returncode == 0, done.stderr
        text, _, last = done.stdout.rpartition("\n")
        status, _, content_type = last.partition(" ")
        answer = Answer(int(status), content_type, text)
        self.answers.append(answer)
        return answer

    def submit(self, template: str, variables: Mapping[str, str] | None = None, **more: object) -> str:
        """Wish for a job, alice's unless said otherwise, and return its id."""
        wish = {"user": "alice", "template": template, "variables": variables or {}, **more}
        answer = self.ask("POST", "/v1/jobs", json.dumps(wish))
        assert answer.status == 201, answer.text
        self.submitted.append(str(answer.members["id"]))
        return self.submitted[-1]

    def submit_page(self, title: str, user: str = "alice") -> str:
        return self.submit("demo-page.sh", {"page_title": title}, user=user)

    def submit_echo(self, lingers_s: int = 0, **more: object) -> str:
        """Wish for an echo on three ports that still answers for so long after it was told to end."""
        return self.submit("echo.sh", {"lingers_s": str(lingers_s)}, **more)

    def delete(self, job: str) -> Answer:
        return self.ask("DELETE", f"/v1/jobs/{job}")

    def report(self, job: str) -> Report:
        """Return what the API shows of a job."""
        answer = self.ask("GET", f"/v1/jobs/{job}")
        assert answer.status == 200, answer.text
        status = answer.members["status"]
        assert isinstance(status, dict)
        return Report.model_validate_json(json.dumps({"id": job, **status}))

    def is_gone(self, job: str) -> bool:
        return self.ask("GET", f"/v1/jobs/{job}").status == GONE

    def wait_report(
        self, job: str, claim: Callable[[Report], bool], what: str, patience_s: float = PATIENCE_S
    ) -> Report:
        """Return the first report of which the claim is true."""
        deadline = time.monotonic() + patience_s
        while not claim(report := self.report(job)):
            assert time.monotonic() < deadline, f"not in time: {what}; {report}"
            time.sleep(0.1)
        return report

    def wait_phase(self, job: str, phase: Phase, patience_s: float = PATIENCE_S) -> Report:
        """Return the report as soon as the job is in this phase."""
        return self.wait_report(job, lambda report: report.phase is phase, f"{job} is {phase}", patience_s)

    def wait_links(self, job: str, patience_s: float = PATIENCE_S) -> list[Link]:
        """Return the job's links as soon as it is available."""
        report = self.wait_phase(job, Phase.AVAILABLE, patience_s)
        return [Link(str(service.external_ip), service.external_port) for service in report.services]

    def remove(self, *jobs: str) -> None:
        """Delete jobs and wait until they are gone."""
        for job in jobs:
            self.delete(job)
        deadline = time.monotonic() + PATIENCE_S
        for job in jobs:
            while not self.is_gone(job):
                assert time.monotonic() < deadline, f"not in time: {job} is gone; {self.report(job)}"
                time.sleep(0.1)

    def login(self, name: str, password: str, file: str) -> Path:
        """Write a curl configuration for a login, so that no password is an argument."""
        path = self.site.config_file.parent / file
        path.touch(0o600)
        path.write_text(f'user = "{name}:{password}"\n' if name else "")
        return path

    def turn(self, jobs: Sequence[str], *, paused: bool) -> None:
        """Pause jobs or let them go on, as the operator, and wait until the controller knows."""
        body = json.dumps({"paused": paused})
        answers = [self.ask("PATCH", f"/v1/jobs/{job}", body, login=self.operator) for job in jobs]
        assert [answer.status for answer in answers] == [200] * len(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            told = answer.members["generation"]
            self.wait_report(job, lambda report, told=told: report.observed_generation == told, f"{job} is known")  # type: ignore[misc]  # bound now

    @property
    def password(self) -> str:
        return (self.site.config_file.parent / "portal").read_text().strip().partition(":")[2]

    @property
    def operator(self) -> Path:
        """The operator's login, for `ask`."""
        return self._write_login(OPERATOR, "curlrc-operator")

    def _write_login(self, who: str, file: str) -> Path:
        """Make a curl configuration of a credential that the site has in a file."""
        name, _, password = (self.site.config_file.parent / who).read_text().strip().partition(":")
        return self.login(name, password, file)
