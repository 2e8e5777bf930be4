"""Who asks at the portal's door: a password, a bearer token, or a client certificate."""

import asyncio
import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from typing import NamedTuple

from api.credentials import Credential, Credentials
from api.passwords import Hashed
from api.problems import Problem
from api.rates import Rates

CHALLENGE: Mapping[str, str] = {"WWW-Authenticate": 'Basic realm="bwVisu", charset="UTF-8", Bearer realm="bwVisu"'}
PROVEN_LIMIT = 1024
"""Passwords remembered as right, at most."""
CHECKS_AT_ONCE = 2
CHECK_TIMEOUT_S = 10.0
"""Waiting for a turn included: guessing passwords must not fill the memory."""


class _Claim(NamedTuple):
    name: str
    password: str
    seal: bytes


class Shown(NamedTuple):
    """What somebody shows at the door."""

    authorization: str
    """The header's value; empty where there is none."""
    peer: str = ""
    """Where the connection comes from."""
    certificate: str | None = None
    """The common name of the client certificate that our authority signed."""


class Doorkeeper:
    """Checks credentials; a right password is known again without hashing, by an HMAC under a key of this process.

    Hashes are computed in threads, a few at a time: on the event loop each would keep everybody waiting. For an address
    from which too many were wrong none is computed any more; who needs none is let in from there as ever.
    """

    def __init__(self, credentials: Credentials, guesses: Rates) -> None:
        self._guesses = guesses
        self._key = secrets.token_bytes(32)
        self._turns = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._proven: dict[bytes, Hashed] = {}
        """Which hash a name and password were right for: one that was replaced or taken away counts no more."""
        self.follow(credentials)

    def follow(self, credentials: Credentials) -> None:
        """Take these credentials from now on; what was proven goes on to count for lines that did not change."""
        self._credentials = credentials
        self._nobody = Hashed.of_nobody(credentials.dearest)

    def still_takes(self, credential: Credential) -> bool:
        """Tell whether what somebody came in with opens as much as it did then."""
        now = self._credentials.by_name.get(credential.name)
        return now is not None and now.proof == credential.proof and now.role.may(credential.role)

    async def credential_of(self, shown: Shown) -> Credential:
        """Return whose credential is shown, from the header's value; without one the certificate's common name tells.

        Raises:
            Problem: nothing is shown, it is wrong, too many passwords from there were, or too many are being checked.
        """
        scheme, _, given = shown.authorization.partition(" ")
        match scheme.lower():
            case "basic":
                return await self._with_password(given, shown.peer)
            case "bearer":
                known = self._credentials.with_token(given.strip())
            case _ if not shown.authorization and shown.certificate is not None:
                known = self._credentials.with_certificate(shown.certificate)
            case _:
                known = None
        if known is None:
            raise _refused()
        return known

    async def _with_password(self, encoded: str, peer: str) -> Credential:
        name, password = _credentials(encoded)
        seal = hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")
        if self._known(name, seal) is None:
            await self._prove(_Claim(name, password, seal), peer)
        known = self._known(name, seal)
        if known is None:
            raise _refused()
        return known

    def _known(self, name: str, seal: bytes) -> Credential | None:
        """Return the credential whose password was proven with this seal, as the file has it now."""
        known = self._credentials.by_name.get(name)
        return known if known is not None and self._proven.get(seal) == known.proof else None

    async def _prove(self, claim: _Claim, peer: str) -> None:
        """Compare with the hash, or with nobody's: an unknown name takes as long as a wrong password."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), self._turns:
                if self._known(claim.name, claim.seal) is not None:
                    return  # proven while this request waited: of many that come at once, one is hashed
                self._guesses.take(peer)  # before the comparison, so that no more are under way than may be wrong
                hashed = self._credentials.password_of(claim.name)
                right = await asyncio.to_thread((hashed or self._nobody).proves, claim.password)
                if right and hashed is not None:
                    self._guesses.give_back(peer)
                    self._remember(claim.seal, hashed)
        except TimeoutError as error:
            raise Problem("too-busy", "Try again in a moment.") from error

    def _remember(self, seal: bytes, hashed: Hashed) -> None:
        if len(self._proven) >= PROVEN_LIMIT:
            del self._proven[next(iter(self._proven))]
        self._proven[seal] = hashed


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
