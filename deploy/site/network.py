"""The site's cables: bridges in the switch's namespace, one pair of virtual interfaces per link of a node."""

from deploy.site.layout import NETWORKS, Link, Node
from deploy.site.machine import run
from deploy.site.node import run_in


def build_bridges(switch: int) -> None:
    """Make one bridge per network in the namespace of the switch (given by its first process)."""
    lines = []
    for network in NETWORKS:
        lines += [f"link add name {network.name} type bridge", f"link set {network.name} up"]
    _ip(switch, lines)


def plug_in(switch: int, node: Node, first: int) -> None:
    """Connect a freshly booted node to its networks."""
    _unplug(switch, node)
    cables = []
    for link in node.links:
        name = port(node, link)
        peer = f"peer name {link.network.name} address {hardware_address(link)} netns {first}"
        cables += [f"link add name {name} master {link.network.name} type veth {peer}", f"link set {name} up"]
    _ip(switch, cables)
    lines = ["link set lo up"]
    for link in node.links:
        prefix = link.network.subnet.prefixlen
        lines += [f"address add {address}/{prefix} dev {link.network.name}" for address in link.addresses]
        lines.append(f"link set {link.network.name} up")
    _ip(first, lines)


def hardware_address(link: Link) -> str:
    """Return a MAC address made from the IP address: a rebooted node must be the one its neighbours remember."""
    return "02:00:" + link.address.packed.hex(":")


def port(node: Node, link: Link) -> str:
    """Return the name of the switch's end of a cable."""
    return f"{node.name}-{link.network.name}"


def _unplug(switch: int, node: Node) -> None:
    """Remove what the kernel has not yet cleared away of the node's former life; it may do so at any moment itself."""
    names = [port(node, link) for link in node.links]
    run_in(switch, f"for name in {' '.join(names)}; do ip link del $name 2>/dev/null || :; done")


def cut(switch: int, node: Node) -> None:
    """Let nothing through to or from the node. It still sees its carrier, as with a switch that fails."""
    _ip(switch, [f"link set {port(node, link)} nomaster" for link in node.links])


def join(switch: int, node: Node) -> None:
    """Undo `cut`."""
    _ip(switch, [f"link set {port(node, link)} master {link.network.name}" for link in node.links])


def is_cut(switch: int, node: Node) -> bool:
    """Tell whether any of the node's links is cut."""
    joined = _ports(switch)
    return any(joined.get(port(node, link)) != link.network.name for link in node.links)


def _ports(switch: int) -> dict[str, str]:
    """Return the bridge of every interface of the switch by the interface's name; empty if it has none."""
    ports = {}
    for line in run_in(switch, "ip -o link show").splitlines():
        words = line.split()
        name = words[1].rstrip(":").partition("@")[0]
        ports[name] = words[words.index("master") + 1] if "master" in words else ""
    return ports


def _ip(first: int, lines: list[str]) -> None:
    """Run a batch of ip commands in the network of a node, with the machine's own pids for ``netns``."""
    if lines:
        run(["nsenter", "--target", str(first), "--net", "ip", "-batch", "-"], stdin="\n".join(lines) + "\n")
