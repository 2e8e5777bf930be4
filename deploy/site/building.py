"""Bringing a site up: disk first, then the switch, then all nodes at once."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from deploy.site import disk, network, services
from deploy.site.errors import SiteError
from deploy.site.layout import NODES, SWITCH, Node, Options
from deploy.site.node import boot, run_in

_OPTIONS_FILE = "site.json"
_Result = TypeVar("_Result")


def write_options(folder: Path, options: Options) -> None:
    """Keep what `up` was asked for."""
    (folder / _OPTIONS_FILE).write_text(json.dumps(asdict(options), indent=4) + "\n")


def read_options(folder: Path) -> Options | None:
    """Return what the site was made with, None for a site that was never made."""
    try:
        return Options(**json.loads((folder / _OPTIONS_FILE).read_text()))
    except FileNotFoundError:
        return None


def build(folder: Path, options: Options) -> None:
    """Make the whole site in an empty folder; comes back when it can be used.

    Raises:
        SiteError: something did not come up.
    """
    # Users inside the nodes pass through to their homes, and see nothing else.
    folder.chmod(0o711)
    write_options(folder, options)
    disk.lay_out(folder, options)
    switch = boot(folder / "nodes" / SWITCH.name, folder)
    network.build_bridges(switch)
    firsts = _for_all(NODES, lambda node: _boot_connected(folder, switch, node))
    by_name = dict(zip((node.name for node in NODES), firsts, strict=True))
    _for_all(NODES, lambda node: start_services(folder, node, by_name[node.name]))
    _wait_for_slurm(by_name)


def _boot_connected(folder: Path, switch: int, node: Node) -> int:
    first = boot(folder / "nodes" / node.name, folder)
    network.plug_in(switch, node, first)
    if node.is_gateway:
        run_in(first, services.GATEWAY_RULES)
    if "slurmd" in node.services:
        run_in(first, services.RESERVED_PORTS)
    return first


def boot_node(folder: Path, switch: int, node: Node) -> None:
    """Boot one node of a site that is up, services included."""
    start_services(folder, node, _boot_connected(folder, switch, node))


def start_services(folder: Path, node: Node, first: int) -> None:
    """Start the services of a node in their order."""
    for name in node.services:
        services.start(node, first, name, folder)


def _wait_for_slurm(firsts: dict[str, int]) -> None:
    """Wait until all compute nodes have reported: before that, a job would wait for them."""
    count = sum("slurmd" in node.services for node in NODES)
    script = f'[ "$(sinfo -h -N -t idle -o %N | sort -u | wc -l)" -eq {count} ]'
    if not services.answers_in_time(firsts["cmd1"], script):
        raise SiteError("not all compute nodes report to Slurm; see slurmctld.log of cmd1")


def _for_all(nodes: Iterable[Node], act: Callable[[Node], _Result]) -> list[_Result]:
    with ThreadPoolExecutor(max_workers=len(NODES)) as pool:
        return list(pool.map(act, nodes))
