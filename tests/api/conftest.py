"""The doors on a store in memory, as the unit tests have them."""

import pytest

from tests.api.original import TEMPLATE
from tests.unit.api.conftest import World, hashed, keyhole, operator, portal, stranger, world

__all__ = ["hashed", "keyhole", "operator", "original_site", "portal", "stranger", "world"]


@pytest.fixture
async def original_site(world: World) -> None:
    """Have the user and the template that the original interface's page names."""
    await world.answer("testuser", 20001)
    await world.answer("nobody-here", None)
    (world.config.templates_directory / "template_xpra.txt").write_text(TEMPLATE)
