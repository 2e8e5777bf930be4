"""The configuration: ``config.json`` as it is written, checked once at the start, frozen from then on.

``kinds``         what a single value may be
``sections``      the optional sections, each with a default
``doors``         the section of the API
``model``         the whole file
``relations``     what must fit between the parts of a file
``allowed``       what a key may hold, in words
``complaints``    what is wrong with a file, one line for each wrong key
``loading``       finds the file and reads it
``secret_files``  reads what only this service's user may read
``server_secret`` the server secret, and the former one
``manual``        the JSON Schema and the manual page, generated from the models
"""

from reconciler.config.doors import Api, TlsFiles
from reconciler.config.kinds import lets_everyone_in
from reconciler.config.loading import load, places
from reconciler.config.model import CommandNode, Config, Debug, Endpoint, GatewayNode, PortRange
from reconciler.config.secret_files import read_authority, read_secret, require_private
from reconciler.config.sections import Etcd, Gateways, Policy, Reconciler, Slurm, Ssh
from reconciler.config.server_secret import ServerSecret, read_server_secret
from reconciler.errors import ConfigError

__all__ = [
    "Api",
    "CommandNode",
    "Config",
    "ConfigError",
    "Debug",
    "Endpoint",
    "Etcd",
    "GatewayNode",
    "Gateways",
    "Policy",
    "PortRange",
    "Reconciler",
    "ServerSecret",
    "Slurm",
    "Ssh",
    "TlsFiles",
    "lets_everyone_in",
    "load",
    "places",
    "read_authority",
    "read_secret",
    "read_server_secret",
    "require_private",
]
