"""The credentials file: one ``name:proof[:role]`` per line, and no secret in it.

A proof is the hash of a password (``scrypt$…``), the digest of a bearer token (``token$…``), or the word
``certificate``: a client certificate of that common name. A line without a role is a portal's,
as all were before there were roles.
"""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from api import passwords
from api.passwords import COST, Hashed
from api.roles import Caller, Role
from reconciler.errors import ConfigError

NAME_PATTERN = r"[A-Za-z0-9._-]{1,64}"
TOKEN_PREFIX = "bwv_"  # noqa: S105 - what a leaked token is recognised by, no token itself
TOKEN_BYTES = 32
"""Nobody guesses 256 bits, so a token needs neither salt nor a slow hash."""
CERTIFICATE = "certificate"


class Token(NamedTuple):
    """A bearer token, by its SHA-256."""

    digest: bytes

    @classmethod
    def of(cls, token: str) -> "Token":
        """Return what the file keeps of a token."""
        return cls(hashlib.sha256(token.encode(errors="surrogateescape")).digest())

    def __str__(self) -> str:
        """Return it as it stands in a file."""
        return f"token${base64.b64encode(self.digest).decode()}"


class Certificate(NamedTuple):
    """A client certificate whose common name is the credential's name; the API's TLS has checked who signed it."""

    def __str__(self) -> str:
        """Return it as it stands in a file."""
        return CERTIFICATE


Proof = Hashed | Token | Certificate


@dataclass(frozen=True, slots=True)
class Credential:
    """One line of the file."""

    name: str
    role: Role
    proof: Proof

    @property
    def caller(self) -> Caller:
        """Who asks with it."""
        return Caller(self.name, self.role)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A whole file."""

    by_name: Mapping[str, Credential] = field(default_factory=dict)

    def password_of(self, name: str) -> Hashed | None:
        """Return the hash of this name's password, or None if it has none."""
        known = self.by_name.get(name)
        return known.proof if known is not None and isinstance(known.proof, Hashed) else None

    def with_token(self, token: str) -> Credential | None:
        """Return the credential that this token is, or None."""
        wanted = Token.of(token)
        return next((known for known in self.by_name.values() if known.proof == wanted), None)

    def with_certificate(self, name: str) -> Credential | None:
        """Return the credential for a certificate of this common name, or None."""
        known = self.by_name.get(name)
        return known if known is not None and isinstance(known.proof, Certificate) else None

    @property
    def dearest(self) -> int:
        """Return the highest cost of its hashes."""
        costs = [known.proof.cost for known in self.by_name.values() if isinstance(known.proof, Hashed)]
        return max(costs, default=COST)


def new_token() -> str:
    """Return a bearer token that nobody guesses."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def line(name: str, role: Role, proof: Proof) -> str:
    """Return the line of the credentials file for this name.

    Raises:
        ConfigError: the name cannot stand in the file.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"{name!r} is no name for a credential: {NAME_PATTERN}")
    return f"{name}:{proof}:{role}"


def load(path: Path) -> Credentials:
    """Return the credentials of a file.

    Raises:
        ConfigError: it cannot be read, or a line of it is wrong.
    """
    try:
        return read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the credentials: {error}") from error


def read(text: str) -> Credentials:
    """Return the credentials of a file's text; empty lines and those with ``#`` in front are left out.

    Raises:
        ConfigError: a line is wrong or a name stands twice; names the line's number, never its text.
    """
    known: dict[str, Credential] = {}
    for number, entry in enumerate(text.splitlines(), start=1):
        if not entry.strip() or entry.startswith("#"):
            continue
        credential = _of(entry.strip())
        if credential is None or credential.name in known:
            raise ConfigError(
                f"line {number} of the credentials is not a new name, its proof and a role (bwvisu credential NAME)"
            )
        known[credential.name] = credential
    return Credentials(known)


def _of(entry: str) -> Credential | None:
    name, _, rest = entry.partition(":")
    said, colon, word = rest.partition(":")
    proof, role = _proof(said), next((role for role in Role if role == word), None) if colon else Role.PORTAL
    if not re.fullmatch(NAME_PATTERN, name) or proof is None or role is None:
        return None
    return Credential(name, role, proof)


def _proof(text: str) -> Proof | None:
    if text == CERTIFICATE:
        return Certificate()
    scheme, _, digest = text.partition("$")
    if scheme != "token":
        return passwords.parse(text)
    try:
        found = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Token(found) if len(found) == hashlib.sha256().digest_size else None
