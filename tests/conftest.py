"""What holds for every test."""

import asyncio

from hypothesis import settings

asyncio.set_event_loop(None)
"""Before Python 3.14 the first question for an event loop makes one that nobody closes; looptime asks in every test."""

settings.register_profile("project", deadline=None)
settings.load_profile("project")
"""No deadline on one example: machines are shared and noisy, and a slow moment is no failure."""
