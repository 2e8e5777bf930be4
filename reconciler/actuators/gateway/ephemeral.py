"""Does a gateway's kernel hand out our ports to outgoing connections? Pure text; see ip-sysctl, ip_local_port_range."""

import re

SCRIPT = """\
for bwvisu_file in ip_local_port_range ip_local_reserved_ports; do
    echo "kernel $bwvisu_file $(cat /proc/sys/net/ipv4/$bwvisu_file)"
done 2>/dev/null
"""
"""Prints both settings by name; what cannot be read is empty. Not with ``read``: dash reads byte by byte, and the
kernel gives such a reader the first byte only.
"""


def complaint(said: str, first: int, last: int) -> str:
    """Return a sentence if the kernel may take ports from `first` to `last` for itself; empty if not, or not known."""
    handed_out = _ranges(_setting("ip_local_port_range", said).replace("\t", "-").replace(" ", "-"))
    reserved = {port for ports in _ranges(_setting("ip_local_reserved_ports", said)) for port in ports}
    exposed = [
        port
        for ports in handed_out
        for port in range(max(first, ports.start), min(last, ports.stop - 1) + 1)
        if port not in reserved
    ]
    if not exposed:
        return ""
    return (
        f"The kernel hands out {len(exposed)} of our ports, {exposed[0]} first, to outgoing connections:"
        f" set net.ipv4.ip_local_reserved_ports={first}-{last}."
    )


def _setting(name: str, said: str) -> str:
    found = re.search(rf"^kernel {name} (.*)$", said, re.MULTILINE)
    return found[1].strip() if found is not None else ""


def _ranges(text: str) -> list[range]:
    """Return the ranges of ``50000-60000,123``; what is no range is left out."""
    found = (re.fullmatch(r"(\d{1,5})(?:-+(\d{1,5}))?", part) for part in text.split(","))
    return [range(int(each[1]), int(each[2] or each[1]) + 1) for each in found if each is not None]
