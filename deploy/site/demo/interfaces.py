"""One job, asked for in the words of ``/v1`` and in those of the original middleware's interface."""

import json
from dataclasses import dataclass
from typing import Any

from deploy.site.daemons import HOST, Daemons
from deploy.site.demo.screen import claim, say
from deploy.site.errors import SiteError

API = "127.0.0.1:4242"
_FOUND, _GONE = 200, 404
_LINE = """sed 's/.*/user = "&"/' "$0" | curl -sS --max-time 5 --config - --write-out '\\n%{http_code}' "$1" """
"""The portal's password is in no argument."""
_OF_SERVICE = ("internal-port", "external-port", "external-ip")


@dataclass(frozen=True)
class Interfaces:
    """Asks the API as a portal of today does, and as one that was made for the original middleware."""

    daemons: Daemons

    def agree(self, job: str) -> None:
        """Claim that both say the same of a job that is available, down to Slurm's facts and the links."""
        new, old = self._found(f"/v1/jobs/{job}"), self._found(f"/jobs/{job}")
        listed = job in [each["id"] for each in self._found("/v1/jobs")["jobs"]], job in self._found("/jobs")["jobs"]
        claim(
            old == in_original_words(new) and old["state"] == "available" and listed == (True, True),
            "Both interfaces list it, and agree on user, template, variables, links, Slurm job and state: available.",
            json.dumps([new, old]),
        )

    def forgot(self, job: str) -> None:
        """Claim that neither knows a job any more."""
        statuses = [self._ask(path)[0] for path in (f"/v1/jobs/{job}", f"/jobs/{job}")]
        claim(statuses == [_GONE, _GONE], f"Neither interface knows {job} any more: {_GONE}.", str(statuses))

    def _found(self, path: str) -> Any:
        status, text = self._ask(path)
        if status != _FOUND:
            raise SiteError(f"{path}: {status} {text}")
        return json.loads(text)

    def _ask(self, path: str) -> tuple[int, str]:
        login = self.daemons.site.config_file.parent / "portal"
        say(f"$ curl http://{API}{path}")
        done = self.daemons.site.exec(HOST, ["sh", "-c", _LINE, str(login), f"http://{API}{path}"])
        if done.returncode != 0:
            raise SiteError(f"{path}: {done.stderr.strip()}")
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text


def in_original_words(job: Any) -> dict[str, object]:
    """Return what the original interface must show of an available job of ``/v1``."""
    spec, status = job["spec"], job["status"]
    return {
        "job-id": job["id"],
        "uid": spec["user"],
        "batch-script": {"template-name": spec["template"], "variables": spec["variables"]},
        "services": [{name: service[name] for name in _OF_SERVICE} for service in status["services"]],
        "state": status["phase"],
        "details": status["slurm"],
    }
