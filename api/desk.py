"""What every answer needs: the store, the templates, the settings and the clock."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from aiohttp import web

from api.heard import Heard
from reconciler.batchscript.library import Library
from reconciler.config import Config, ServerSecret
from reconciler.store.keys import Keys
from reconciler.store.kv import KeyValueHistory


@dataclass(frozen=True)
class Desk:
    """Stateless but for what it points to, so that any number of processes may serve side by side."""

    config: Config
    store: KeyValueHistory
    server_secret: bytes = field(repr=False)
    now: Callable[[], datetime]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """One at a time of this process is counted where jobs are limited; others are kept off by the transaction."""

    heard: Heard = field(default_factory=Heard, repr=False)
    """Filled by the portal's mirror; at the keyhole empty, which asks for nothing of it."""

    former_secret: bytes | None = field(default=None, repr=False)
    """Tokens that were made with it still count."""

    @property
    def accepted_secrets(self) -> tuple[bytes, ...]:
        """Return every secret under which a job's token counts."""
        return ServerSecret(self.server_secret, self.former_secret).accepted

    @cached_property
    def keys(self) -> Keys:
        """The names of the keys below this installation's prefix."""
        return Keys(self.config.etcd.prefix)

    @cached_property
    def library(self) -> Library:
        """The site's templates."""
        return Library(self.config.templates_directory, self.config.keyholed_max_forwarders_per_job)


DESK = web.AppKey("desk", Desk)
