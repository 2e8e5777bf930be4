"""Read what only this service's user may read; say how to mend what others may read too."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from reconciler.errors import ConfigError

MINIMUM_CHARACTERS = 32
"""A shorter secret could be guessed: tokens and marks are made with it."""


def read_secret(
    path: Path, environment: Mapping[str, str] = os.environ, *, minimum_characters: int = MINIMUM_CHARACTERS
) -> SecretStr:
    """Return what `path` holds, without white space around it.

    Raises:
        ConfigError: not there, readable by others, or shorter than `minimum_characters`; never shows the secret.
    """
    require_private(path, environment)
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: found bytes that are not UTF-8, allowed is text") from error
    if len(secret) < minimum_characters:
        raise ConfigError(f"{path}: found {len(secret)} characters, allowed are at least {minimum_characters}")
    return SecretStr(secret)


def require_private(path: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a file that anybody but its owner may read.

    Systemd guards its credentials itself, by access control lists that a mode cannot show.

    Raises:
        ConfigError: not a file, or readable by group or others; with the command that mends it.
    """
    if path.parent == credentials_directory(environment):
        return
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path}: found something that is not a file, allowed is a file with mode 0600")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: found mode {stat.S_IMODE(mode):04o}, allowed is 0600 (chmod 0600 {path})")


def read_authority(path: Path | None) -> str:
    """Return the certificate of an authority as PEM, which is no secret; empty where none is named.

    Raises:
        ConfigError: it cannot be read, or is no certificate.
    """
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigError(f"{path}: found no certificate, allowed is PEM")
    return text


def credentials_directory(environment: Mapping[str, str]) -> Path | None:
    """Return where systemd put this service's credentials; `None` when it has none."""
    directory = environment.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None
