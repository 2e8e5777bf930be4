"""The doors on a store in memory, as the unit tests make them."""

from tests.unit.api.conftest import keyhole, portal, stranger, world

__all__ = ["keyhole", "portal", "stranger", "world"]
