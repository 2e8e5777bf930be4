"""The lines that take the place of ``#KEYHOLE-REQUEST-PORTS N``: the client, its call, and the answer as variables.

They set ``KEYHOLE_PORT<I>``, ``KEYHOLE_GATEWAY<I>`` and ``KEYHOLE_EXTERNAL_PORT<I>`` for I from 0, in any POSIX shell.
The token reaches the client through its standard input only: no argument, no exported variable, no file of its own.
"""

import json
from dataclasses import asdict, dataclass, field
from importlib.resources import files

from reconciler.model.base import JobId


@dataclass(frozen=True, slots=True)
class KeyholeCall:
    """What the client inside the job is told; JSON on its standard input."""

    job: JobId
    token: str = field(repr=False)
    servers: tuple[tuple[str, int], ...]
    ports: int
    patience_s: float = 300.0
    """After this long without ports the job ends: long enough for a restart on our side, short enough to be noticed."""
    authority: str = ""
    """Who signed the keyhole's certificates, as PEM; empty where it speaks plain HTTP."""

    def as_json(self) -> str:
        """Return one line; it holds no line break, so the delimiter below cannot stand alone in it."""
        call = asdict(self) | {"servers": [f"{ip}:{port}" for ip, port in self.servers]}
        return json.dumps(call)


_LINES = """\
# Asks for {ports} port(s); sets KEYHOLE_PORT<I>, KEYHOLE_GATEWAY<I> and KEYHOLE_EXTERNAL_PORT<I>, I from 0.
bwvisu_client=$(mktemp) || {{ echo "bwvisu: no room for the keyhole client" >&2; exit 1; }}
cat >"$bwvisu_client" <<'BWVISU_CLIENT_ENDS'
{client}
BWVISU_CLIENT_ENDS
if bwvisu_ports=$(python3 "$bwvisu_client" <<'BWVISU_CALL_ENDS'
{call}
BWVISU_CALL_ENDS
); then
    rm -f "$bwvisu_client"
    eval "$bwvisu_ports"
else
    rm -f "$bwvisu_client"
    echo "bwvisu: the keyhole gave no ports, so this job ends here" >&2
    exit 1
fi
unset bwvisu_client bwvisu_ports
"""


def shell_lines(call: KeyholeCall) -> str:
    """Return the lines of shell that fetch the ports, or end the job with a sentence that says why not."""
    client = files("reconciler.batchscript").joinpath("keyhole_client.py").read_text(encoding="utf-8")
    return _LINES.format(ports=call.ports, client=client.rstrip("\n"), call=call.as_json())
