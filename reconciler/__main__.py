"""The daemon: configuration, secrets, logs and signals; everything else is `reconciler.app`."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from reconciler import app, logs
from reconciler.actuators.hands import reaching
from reconciler.actuators.slurm.marks import Marks
from reconciler.batchscript.library import Library
from reconciler.config import Config, ServerSecret, load, read_authority, read_server_secret, require_private
from reconciler.errors import ConfigError, ReconcilerError, Retryable, Terminal
from reconciler.model.base import JobId
from reconciler.store.configured import etcd_settings
from reconciler.store.etcd import EtcdStore
from reconciler.store.settings import EtcdSettings

log = structlog.get_logger()

ALL = "all jobs"
"""What ``--plan`` without a job means; no job's id has a space."""

EXIT_CONFIG = 2
"""The configuration is wrong: starting again without a change is of no use."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the controller until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        config = load(options.config, os.environ)
        secret = _secrets(config, os.environ)
        settings = etcd_settings(config, os.environ)
    except ConfigError as error:
        print(f"bwvisu-reconciler: {error}", file=sys.stderr)  # noqa: T201 - before the log there is standard error
        return EXIT_CONFIG
    if options.check_config:
        return _check_templates(config)
    logs.configure(config.log_level)
    if options.plan is not None:
        return asyncio.run(_preview(config, secret, settings, options.plan))
    return asyncio.run(_serve(config, secret, settings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bwvisu-reconciler", description="Make the cluster agree with the wishes in etcd."
    )
    parser.add_argument("--config", type=Path, help="the configuration file (default: BWVISU_CONFIG, then four places)")
    parser.add_argument(
        "--check-config", action="store_true", help="read configuration, secrets and templates, then stop"
    )
    parser.add_argument(
        "--plan",
        nargs="?",
        const=ALL,
        metavar="JOB",
        help="print what would be done next for JOB, or for all jobs, and why; change nothing",
    )
    return parser


def _check_templates(config: Config) -> int:
    """Name every template that no job could use; status 2 if there is one."""
    faults = Library(config.templates_directory, config.keyholed_max_forwarders_per_job).faults()
    for fault in faults:
        print(f"bwvisu-reconciler: {fault}", file=sys.stderr)  # noqa: T201 - an answer to whoever asked
    return EXIT_CONFIG if faults else 0


def _secrets(config: Config, environment: Mapping[str, str]) -> ServerSecret:
    require_private(config.ssh.private_key_file, environment)
    read_authority(config.api.keyhole_ca_file)
    return read_server_secret(config, environment)


async def _preview(config: Config, secret: ServerSecret, settings: EtcdSettings, job: str) -> int:
    """Print one line per job; status 1 when there is no such job or etcd does not answer."""
    try:
        async with EtcdStore.connect(settings) as store:
            found = await app.preview(config, store, _reach(config, secret), JobId(job) if job != ALL else None)
    except (Retryable, Terminal) as error:
        print(f"bwvisu-reconciler: {error}", file=sys.stderr)  # noqa: T201 - an answer to whoever asked
        return 1
    for each in found:
        print(each.line())  # noqa: T201 - the answer
    if not found and job != ALL:
        print(f"bwvisu-reconciler: no job {job}", file=sys.stderr)  # noqa: T201 - an answer to whoever asked
        return 1
    return 0


def _reach(config: Config, secret: ServerSecret) -> app.Reach:
    marks = Marks(secret.current, config.instance, secret.former)
    return lambda changed, require: reaching(config, marks, app.utc_now, changed, require)


async def _serve(config: Config, secret: ServerSecret, settings: EtcdSettings) -> int:
    """Run until a signal; a broken part ends the process with status 1, for its supervisor to start it anew."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with EtcdStore.connect(settings) as store:
            await app.run(config, secret.current, store, _reach(config, secret), stop, secret.former)
    except ConfigError as error:
        print(f"bwvisu-reconciler: {error}", file=sys.stderr)  # noqa: T201 - said to whoever starts it
        return EXIT_CONFIG
    except ExceptionGroup as group:
        wrong = [error for error in group.exceptions if isinstance(error, ConfigError)]
        if wrong:
            print(f"bwvisu-reconciler: {wrong[0]}", file=sys.stderr)  # noqa: T201 - said to whoever starts it
            return EXIT_CONFIG
        known = all(isinstance(error, ReconcilerError) for error in group.exceptions)
        errors = [f"{type(error).__name__}: {error}" for error in group.exceptions]
        log.error("controller_broken", errors=errors, exc_info=None if known else group)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
