"""Batch scripts that run as processes of their own, with the system's python3, against a real keyhole on loopback."""

import asyncio
import os
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from aiohttp.test_utils import BaseTestServer

from reconciler.batchscript.forwarding import KeyholeCall, client_lines, request_lines
from reconciler.model.base import JobId
from tests.unit.api.conftest import JOB
from tests.unit.api.test_keyhole import TOKEN

ENVIRONMENT = {"PATH": os.environ["PATH"], "SLURM_NODELIST": "c[1-2]", "SLURM_JOB_ID": "4711"}
SHOW = 'echo "$KEYHOLE_PORT0 $KEYHOLE_GATEWAY0 $KEYHOLE_EXTERNAL_PORT0 $KEYHOLE_PORT1 $(env | grep -c ^KEYHOLE_)"\n'


class Job:
    """A batch script that runs as a process of its own, with a folder for its temporary files."""

    def __init__(self, folder: Path, shell: str = "bash", then: str = SHOW, ports: int = 2) -> None:
        self.folder = folder / "tmp"
        self.folder.mkdir()
        self._script = folder / "script"
        self._shell = shutil.which(shell) or shell
        self._then = then
        self._ports = ports

    async def start(
        self,
        servers: Sequence[tuple[str, int]],
        token: str = TOKEN,
        patience_s: float = 20,
        log: Path | None = None,
        path: str = ENVIRONMENT["PATH"],
    ) -> Process:
        """Start the script; its standard output goes into `log`, if one is named."""
        call = KeyholeCall(JobId(JOB), token, tuple(servers), self._ports, patience_s)
        request = request_lines(self._ports) if self._ports else ""
        lines = f"#!{self._shell}\n{client_lines(call)}set -eu\n{request}{self._then}"
        self._script.write_text(lines)
        environment = ENVIRONMENT | {"TMPDIR": str(self.folder), "PATH": path}
        words = (self._shell, str(self._script))
        if log is None:
            return await asyncio.create_subprocess_exec(
                *words, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
            )
        with log.open("wb") as out:
            return await asyncio.create_subprocess_exec(
                *words, stdout=out, stderr=PIPE, env=environment, start_new_session=True
            )


async def ended(process: Process) -> tuple[int | None, str, str]:
    """Return exit status, standard output and standard error."""
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode, (out or b"").decode(), err.decode()


def address(server: BaseTestServer) -> tuple[str, int]:
    """Return where the server listens."""
    assert server.port is not None
    return "127.0.0.1", server.port
