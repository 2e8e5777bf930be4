"""The server secret, and the former one for as long as jobs that were started under it may run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.config.model import Config
from reconciler.config.secret_files import read_secret


@dataclass(frozen=True, slots=True)
class ServerSecret:
    """What tokens and marks are made with, and what they may still have been made with."""

    current: bytes = field(repr=False)
    former: bytes | None = field(default=None, repr=False)

    @property
    def accepted(self) -> tuple[bytes, ...]:
        """Return every secret under which a token or a mark counts, the current one first."""
        return (self.current,) if self.former is None else (self.current, self.former)


def read_server_secret(config: Config, environment: Mapping[str, str]) -> ServerSecret:
    """Return what the files of the configuration hold.

    Raises:
        ConfigError: one of them cannot be used as a secret.
    """
    current = read_secret(config.server_secret_file, environment).get_secret_value().encode()
    if config.previous_server_secret_file is None:
        return ServerSecret(current)
    former = read_secret(config.previous_server_secret_file, environment).get_secret_value().encode()
    return ServerSecret(current, former)
