"""Calls of a running job at the keyhole."""

import json

from reconciler.batchscript.token import SignedRequest, job_token, signature
from reconciler.model.base import JobId
from tests.unit.api.conftest import JOB, SECRET, Client, World

OTHER = JobId("job002")
INSTANCE = "main"


class Job:
    """A running job that signs its calls; a new nonce each time."""

    def __init__(self, world: World, keyhole: Client, job: JobId = JOB, secret: bytes = SECRET) -> None:
        self._world, self._keyhole, self._job = world, keyhole, job
        self._token = job_token(secret, INSTANCE, job)
        self._calls = 0

    def path(self, what: str) -> str:
        """Return the address of one of its calls."""
        return f"/keyhole/v1/jobs/{self._job}/{what}"

    def headers(self, path: str, body: bytes) -> dict[str, str]:
        """Return what proves who calls."""
        self._calls += 1
        nonce, timestamp = f"{self._calls:032}", str(int(self._world.clock.now.timestamp()))
        signed = signature(self._token, SignedRequest("POST", path, timestamp, nonce, body))
        proof = {"Bwvisu-Timestamp": timestamp, "Bwvisu-Nonce": nonce, "Bwvisu-Signature": signed}
        return {"Content-Type": "application/json", **proof}

    async def call(self, what: str, members: object) -> tuple[int, dict[str, object]]:
        """Return status and body of the answer."""
        path, body = self.path(what), json.dumps(members).encode()
        response = await self._keyhole.post(path, data=body, headers=self.headers(path, body))
        return response.status, await response.json(content_type=None) or {}
