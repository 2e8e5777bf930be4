"""What a site's operator hands to the middleware: its configuration, its key and its secret."""

import json

from deploy.site.layout import EXTERNAL, INTERNAL, NODES, RUNNER
from deploy.site.machine import CHECKOUT
from deploy.site.sshd import PORT

API_PORT = 80
"""Where jobs call the middleware; its own host is `mw`."""

QUARANTINE_S = 5
"""Short, so that one who watches sees a port become free again."""


def config(site_folder: str) -> str:
    """Return config.json in the shape of the customer's example, with this site's addresses."""
    ssh = {"user": RUNNER.name, "port": PORT}
    gateways = [
        {"internal-ip": str(node.address(INTERNAL)), "external-ip": str(node.address(EXTERNAL)), **ssh}
        for node in NODES
        if node.is_gateway
    ]
    commands = [{"ip": str(node.address(INTERNAL)), **ssh} for node in NODES if node.is_command_node]
    host = next(node for node in NODES if "etcd" in node.services)
    whole = {
        "bwvisu-home-prefix": f"{site_folder}/home",
        "gateway-nodes": gateways,
        "command-nodes": commands,
        "keyholed-servers": [{"ip": str(host.address(INTERNAL)), "port": API_PORT}],
        "keyholed-port-range": {"min": 50000, "max": 60000},
        "keyholed-max-forwarders-per-job": 100,
        "etcd-servers": [{"ip": "127.0.0.1", "port": 2379}],
        "debug": {"keyholed-static-forwarding": "False"},
        "forwarding-hostname-suffix": "-ib0",
        "server-secret-file": "server-secret",
        "templates-directory": str(CHECKOUT / "deploy" / "templates"),
        "api": {"credentials-file": "credentials"},
        "gateways": {"quarantine-s": QUARANTINE_S},
        "ssh": {
            "private-key-file": f"{site_folder}/mw/id_ed25519",
            "known-hosts-file": f"{site_folder}/mw/known_hosts",
        },
    }
    return json.dumps(whole, indent=4) + "\n"
