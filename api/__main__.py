"""The process ``bwvisu-api``: configuration, logs, signals, then both doors until told to stop."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from api import credentials
from api.app import serving
from api.desk import Desk
from api.reloading import follow
from reconciler import logs
from reconciler.config import Config, load, read_secret
from reconciler.errors import ConfigError
from reconciler.store.configured import api_etcd_settings
from reconciler.store.etcd import EtcdStore

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="bwvisu-api", description="The REST API of the bwVisu middleware.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="config.json; by default the first that is found")
    options = parser.parse_args(arguments)
    try:
        config = load(options.config, os.environ)
        logs.configure(config.log_level)
        asyncio.run(_run(config))
    except ConfigError as error:
        print(f"bwvisu-api: {error}", file=sys.stderr)  # noqa: T201 - said to whoever starts it, before there is a log
        return 2
    return 0


async def _run(config: Config) -> None:
    secret = read_secret(config.server_secret_file).get_secret_value().encode()
    known = credentials.load(config.api.credentials_file)
    stop, hang_up = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, hang_up.set)
    async with EtcdStore.connect(api_etcd_settings(config, os.environ)) as store:
        desk = Desk(config=config, store=store, server_secret=secret, now=lambda: datetime.now(UTC))
        async with serving(desk, known) as reloadables, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow(reloadables, hang_up), name="follow files")
            await stop.wait()
            log.info("stopping")
            following.cancel()


if __name__ == "__main__":
    sys.exit(main())
