"""The doors on a store in memory, as the unit tests have them."""

from tests.unit.api.conftest import hashed, keyhole, operator, portal, stranger, world

__all__ = ["hashed", "keyhole", "operator", "portal", "stranger", "world"]
