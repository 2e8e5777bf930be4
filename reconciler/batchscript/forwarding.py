"""The lines of shell around a batch script: the client, its two calls, and the answer as variables.

First the script, whether it asks for ports or not, hands itself to the client, which runs it again, unchanged, and
tells the keyhole how it ended. At ``#KEYHOLE-REQUEST-PORTS N`` it asks for its ports: ``KEYHOLE_PORT<I>``,
``KEYHOLE_GATEWAY<I>`` and ``KEYHOLE_EXTERNAL_PORT<I>`` for I from 0, in any POSIX shell. The token reaches the client
through its standard input only: no argument, no exported variable, no file of its own.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from functools import cache
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


_MODULES = ("keyhole_call", "keyhole_watch", "keyhole_client")
"""Of the client; each needs only those before it."""

_OF_EACH_OTHER = re.compile(r"^from reconciler\.[\w.]+ import .*\n", re.MULTILINE)

_CLIENT = """\
# The client of the keyhole. -I: nothing that others may write, such as a module in /tmp, is ever imported.
bwvisu_keyhole() {{
exec python3 -I /dev/fd/3 "$@" 3<<'BWVISU_CLIENT_ENDS' <<'BWVISU_CALL_ENDS'
{client}
BWVISU_CLIENT_ENDS
{call}
BWVISU_CALL_ENDS
}}
# It runs this script again and tells the keyhole how it ended; everything below happens in that second run.
if [ "${{BWVISU_WATCHED:-}}" != "${{SLURM_JOB_ID:-none}}" ] && command -v python3 >/dev/null; then
    bwvisu_keyhole watch "$0" "$@"
fi
"""

_REQUEST = """\
# Asks for {ports} port(s); sets KEYHOLE_PORT<I>, KEYHOLE_GATEWAY<I> and KEYHOLE_EXTERNAL_PORT<I>, I from 0.
if bwvisu_ports=$(bwvisu_keyhole ports); then
    eval "$bwvisu_ports"
else
    echo "bwvisu: the keyhole gave no ports, so this job ends here" >&2
    exit 1
fi
unset bwvisu_ports
"""


@cache
def client() -> str:
    """Return the client as one program: its modules one after the other, without what each imports of the others."""
    folder = files("reconciler.batchscript")
    texts = (folder.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in _MODULES)
    return _OF_EACH_OTHER.sub("", "\n\n".join(texts))


def client_lines(call: KeyholeCall) -> str:
    """Return the lines for the place before the first command."""
    return _CLIENT.format(client=client().rstrip("\n"), call=call.as_json())


def request_lines(ports: int) -> str:
    """Return the lines that fetch the ports, or end the job with a sentence that says why not."""
    return _REQUEST.format(ports=ports)
