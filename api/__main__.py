"""The process ``bwvisu-api``: configuration, logs, signals, then both doors until told to stop."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import structlog

from api import credentials, tls
from api.app import serving
from api.credentials import Credentials
from api.desk import Desk
from api.reloading import follow
from reconciler import logs
from reconciler.config import Config, ServerSecret, load, read_server_secret
from reconciler.errors import ConfigError
from reconciler.store.configured import api_etcd_settings
from reconciler.store.etcd import EtcdStore
from reconciler.store.grouping import GroupingStore
from reconciler.store.settings import EtcdSettings

log = structlog.get_logger()


class Opened(NamedTuple):
    """What the configuration names, read and found good."""

    secret: ServerSecret
    known: Credentials
    etcd: EtcdSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="bwvisu-api", description="The REST API of the bwVisu middleware.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="config.json; by default the first that is found")
    parser.add_argument(
        "--check-config", action="store_true", help="read configuration, secrets and certificates, then stop"
    )
    options = parser.parse_args(arguments)
    try:
        config = load(options.config, os.environ)
        opened = _open(config)
        if not options.check_config:
            logs.configure(config.log_level)
            asyncio.run(_run(config, opened))
    except ConfigError as error:
        print(f"bwvisu-api: {error}", file=sys.stderr)  # noqa: T201 - said to whoever starts it, before there is a log
        return 2
    return 0


def _open(config: Config) -> Opened:
    for files in (config.api.portal_tls, config.api.keyhole_tls):
        if files is not None:
            tls.context(files)
    return Opened(
        secret=read_server_secret(config, os.environ),
        known=credentials.load(config.api.credentials_file),
        etcd=api_etcd_settings(config, os.environ),
    )


async def _run(config: Config, opened: Opened) -> None:
    stop, hang_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up.set)
    async with EtcdStore.connect(opened.etcd) as store:
        desk = Desk(
            config=config,
            store=GroupingStore(store),
            server_secret=opened.secret.current,
            former_secret=opened.secret.former,
            now=lambda: datetime.now(UTC),
        )
        async with serving(desk, opened.known) as reloadables, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow(reloadables, hang_up), name="follow files")
            await stop.wait()
            log.info("stopping")
            following.cancel()


if __name__ == "__main__":
    sys.exit(main())
