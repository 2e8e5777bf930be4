"""Who asks at the portal's door: a password, a bearer token, or a client certificate."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from api.credentials import Credentials
from api.passwords import Hashed
from api.problems import Problem
from api.roles import Caller

CHALLENGE: Mapping[str, str] = {"WWW-Authenticate": 'Basic realm="bwVisu", charset="UTF-8", Bearer realm="bwVisu"'}
PROVEN_LIMIT = 1024
"""Passwords remembered as right, at most."""
CHECKS_AT_ONCE = 2
CHECK_TIMEOUT_S = 10.0
"""Waiting for a turn included: guessing passwords must not fill the memory."""


class Doorkeeper:
    """Checks credentials; a right password is known again without hashing, by an HMAC under a key of this process."""

    def __init__(self, credentials: Credentials) -> None:
        self._key = secrets.token_bytes(32)
        self._turns = asyncio.Semaphore(CHECKS_AT_ONCE)
        self.follow(credentials)

    def follow(self, credentials: Credentials) -> None:
        """Take these credentials from now on; what was proven under the former ones is forgotten."""
        self._credentials = credentials
        self._nobody = Hashed.of(secrets.token_hex(16), credentials.dearest)
        self._proven: dict[bytes, str] = {}

    async def caller_of(self, authorization: str, certificate: str | None = None) -> Caller:
        """Return who asks, from the header's value; without one the certificate's common name tells.

        Raises:
            Problem: nothing is given, it is wrong, or too many passwords are being checked.
        """
        scheme, _, given = authorization.partition(" ")
        match scheme.lower():
            case "basic":
                return await self._with_password(given)
            case "bearer":
                known = self._credentials.with_token(given.strip())
            case _ if not authorization and certificate is not None:
                known = self._credentials.with_certificate(certificate)
            case _:
                known = None
        if known is None:
            raise _refused()
        return known.caller

    async def _with_password(self, encoded: str) -> Caller:
        name, password = _credentials(encoded)
        seal = hmac.new(self._key, f"{name}\0{password}".encode(), hashlib.sha256).digest()
        credentials, proven = self._credentials, self._proven
        if seal not in proven:
            await self._prove(credentials, name, password)
            _remember(proven, seal, name)
        return credentials.by_name[name].caller

    async def _prove(self, credentials: Credentials, name: str, password: str) -> None:
        """Compare with the hash, or with nobody's: an unknown name takes as long as a wrong password."""
        hashed = credentials.password_of(name)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), self._turns:
                right = await asyncio.to_thread((hashed or self._nobody).proves, password)
        except TimeoutError as error:
            raise Problem("too-busy", "Try again in a moment.") from error
        if not right or hashed is None:
            raise _refused()


def _remember(proven: dict[bytes, str], seal: bytes, name: str) -> None:
    if len(proven) >= PROVEN_LIMIT:
        del proven[next(iter(proven))]
    proven[seal] = name


def _credentials(encoded: str) -> tuple[str, str]:
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise _refused() from error
    if not colon:
        raise _refused()
    return name, password


def _refused() -> Problem:
    detail = "Give a name and its password (HTTP basic authentication), a bearer token, or a client certificate."
    return Problem("credentials-wrong", detail, headers=CHALLENGE)
