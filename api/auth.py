"""Who asks at the portal's door: HTTP basic authentication against hashed passwords."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping

from api.passwords import COST, Hashed
from api.problems import Problem

CHALLENGE: Mapping[str, str] = {"WWW-Authenticate": 'Basic realm="bwVisu", charset="UTF-8"'}
PROVEN_LIMIT = 1024
"""Credentials remembered as right, at most."""
CHECKS_AT_ONCE = 2
CHECK_TIMEOUT_S = 10.0
"""Waiting for a turn included: guessing passwords must not fill the memory."""


class Doorkeeper:
    """Checks credentials; one that was right is known again without hashing, by an HMAC under a key of this process."""

    def __init__(self, hashes: Mapping[str, Hashed]) -> None:
        self._hashes = hashes
        self._nobody = Hashed.of(secrets.token_hex(16), max((hashed.cost for hashed in hashes.values()), default=COST))
        self._key = secrets.token_bytes(32)
        self._proven: dict[bytes, str] = {}
        self._turns = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def name_of(self, authorization: str) -> str:
        """Return who asks, from the header's value.

        Raises:
            Problem: name and password are missing or wrong, or too many are being checked.
        """
        name, password = _credentials(authorization)
        seal = hmac.new(self._key, f"{name}\0{password}".encode(), hashlib.sha256).digest()
        if seal not in self._proven:
            await self._prove(name, password)
            self._remember(seal, name)
        return name

    async def _prove(self, name: str, password: str) -> None:
        """Compare with the hash, or with nobody's: an unknown name takes as long as a wrong password."""
        hashed = self._hashes.get(name, self._nobody)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), self._turns:
                right = await asyncio.to_thread(hashed.proves, password)
        except TimeoutError as error:
            raise Problem("too-busy", "Try again in a moment.") from error
        if not right or name not in self._hashes:
            raise _refused()

    def _remember(self, seal: bytes, name: str) -> None:
        if len(self._proven) >= PROVEN_LIMIT:
            del self._proven[next(iter(self._proven))]
        self._proven[seal] = name


def _credentials(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _refused()
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise _refused() from error
    if not colon:
        raise _refused()
    return name, password


def _refused() -> Problem:
    return Problem("credentials-wrong", "Give a name and its password (HTTP basic authentication).", headers=CHALLENGE)
