"""New credentials: what the command line ``bwvisu credential`` makes."""

import getpass
import os
import sys
from pathlib import Path

from api import credentials
from api.credentials import Certificate, Token
from api.passwords import Hashed
from api.roles import Role
from reconciler.errors import ConfigError


def with_password(name: str, role: Role) -> str:
    """Return the line for a password that is read from the terminal, unseen, or from standard input.

    Raises:
        ConfigError: the name cannot stand in the file, or the password is empty.
    """
    terminal = sys.stdin.isatty()
    password = getpass.getpass("Password: ") if terminal else sys.stdin.readline().rstrip("\n")
    if not password:
        raise ConfigError("the password is empty")
    return credentials.line(name, role, Hashed.of(password))


def with_token(name: str, role: Role, path: Path) -> str:
    """Return the line for a new bearer token, which goes into a new file that only its owner may read.

    Raises:
        ConfigError: the name cannot stand in the credentials, or the file is there or cannot be written.
    """
    token = credentials.new_token()
    line = credentials.line(name, role, Token.of(token))
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(token + "\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the token: {error.strerror}") from error
    return line


def with_certificate(name: str, role: Role) -> str:
    """Return the line for whoever shows a client certificate of this common name."""
    return credentials.line(name, role, Certificate())
