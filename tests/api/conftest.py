"""The doors on a store in memory, as the unit tests have them."""

from tests.unit.api.conftest import keyhole, operator, portal, stranger, world

__all__ = ["keyhole", "operator", "portal", "stranger", "world"]
