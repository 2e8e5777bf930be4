"""Salted hashes of passwords: scrypt, written as ``scrypt$cost$salt$digest``."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

SCHEME = "scrypt"
PATTERN = rf"{SCHEME}\$(?P<cost>16|1024|16384)\$(?P<salt>[A-Za-z0-9+/]{{22}}==)\$(?P<digest>[A-Za-z0-9+/]{{43}}=)"
COST = 1 << 14
"""About 50 ms and 16 MiB for each guess; stands in each hash, so that it can be raised later."""
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

    @classmethod
    def of_nobody(cls, cost: int) -> "Hashed":
        """Return a hash that no password has, and that takes as long to be compared as one that some password has."""
        return cls(cost, secrets.token_bytes(16), secrets.token_bytes(32))

    def proves(self, password: str) -> bool:
        """Tell whether this is the password, in constant time."""
        return hmac.compare_digest(self.digest, Hashed.of(password, self.cost, self.salt).digest)

    def __str__(self) -> str:
        """Return it as it stands in a file."""
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.digest))
        return f"{SCHEME}${self.cost}${salt}${digest}"


def parse(text: str) -> Hashed | None:
    """Return the hash that `text` is, or None if it is none."""
    found = re.fullmatch(PATTERN, text)
    if not found:
        return None
    return Hashed(int(found["cost"]), base64.b64decode(found["salt"]), base64.b64decode(found["digest"]))
