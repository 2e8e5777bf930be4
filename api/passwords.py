"""Passwords of portals: one ``name:hash`` per line, scrypt with a salt of its own."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.errors import ConfigError

NAME_PATTERN = r"[A-Za-z0-9._-]{1,64}"
SCHEME = "scrypt"
LINE_PATTERN = (
    rf"(?P<name>{NAME_PATTERN}):{SCHEME}\$(?P<cost>16|1024|16384)"
    r"\$(?P<salt>[A-Za-z0-9+/]{22}==)\$(?P<digest>[A-Za-z0-9+/]{43}=)"
)
COST = 1 << 14
"""About 50 ms and 16 MiB for each guess; stands in each line, so that it can be raised later."""
BLOCK, PARALLEL = 8, 1
"""As RFC 7914 recommends."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A salted hash; it proves a password and does not show it."""

    cost: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, password: str, cost: int = COST, salt: bytes | None = None) -> "Hashed":
        """Hash a password, with a new salt unless one is given."""
        salt = secrets.token_bytes(16) if salt is None else salt
        return cls(cost, salt, hashlib.scrypt(password.encode(), salt=salt, n=cost, r=BLOCK, p=PARALLEL, dklen=32))

    def proves(self, password: str) -> bool:
        """Tell whether this is the password, in constant time."""
        return hmac.compare_digest(self.digest, Hashed.of(password, self.cost, self.salt).digest)


def line(name: str, password: str, cost: int = COST) -> str:
    """Return the line of the credentials file for this name and password.

    Raises:
        ConfigError: the name cannot stand in the file, or the password is empty.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"{name!r} is no name for a portal: {NAME_PATTERN}")
    if not password:
        raise ConfigError("the password is empty")
    hashed = Hashed.of(password, cost)
    salt, digest = (base64.b64encode(part).decode() for part in (hashed.salt, hashed.digest))
    return f"{name}:{SCHEME}${cost}${salt}${digest}"


def read(text: str) -> Mapping[str, Hashed]:
    """Return the hashes of a credentials file; empty lines and those with ``#`` in front are left out.

    Raises:
        ConfigError: a line is wrong or a name stands twice; names the line's number, never its text.
    """
    hashes: dict[str, Hashed] = {}
    for number, entry in enumerate(text.splitlines(), start=1):
        if not entry.strip() or entry.startswith("#"):
            continue
        found = re.fullmatch(LINE_PATTERN, entry.strip())
        if not found or found["name"] in hashes:
            raise ConfigError(
                f"line {number} of the credentials is not a new name and its hash (bwvisu credential NAME)"
            )
        salt, digest = base64.b64decode(found["salt"]), base64.b64decode(found["digest"])
        hashes[found["name"]] = Hashed(int(found["cost"]), salt, digest)
    return hashes
