"""The test site: a whole cluster in network namespaces of one machine, from the distribution's own parts.

Standard library only. `deploy/lab` is its command line; tests and demonstrations use it so::

    site = Site("mine")
    site.up()
    try:
        done = site.exec("cmd1", ["squeue"], user="alice")    # CompletedProcess with text
        api = site.popen("mw", [python, "-m", "api"])          # its signals reach the program itself
        site.partition("gw1")
    finally:
        site.down()

The way down: `layout` says what a site is; `accounts`, `slurm`, `sshd` and `middleware` turn that into texts;
`disk` writes them; `node`, `network`, `process` and `services` act on namespaces; `building` puts them in
order; `Site` is the surface, `cli` the command line.
"""

from deploy.site.errors import SiteError
from deploy.site.layout import EXTERNAL, FABRIC, INTERNAL, Node, Options
from deploy.site.node import NodeProcess
from deploy.site.site import Site
from deploy.site.status import NodeStatus

__all__ = [
    "EXTERNAL",
    "FABRIC",
    "INTERNAL",
    "Node",
    "NodeProcess",
    "NodeStatus",
    "Options",
    "Site",
    "SiteError",
]
