"""What holds for every test."""

import asyncio

asyncio.set_event_loop(None)
"""Before Python 3.14 the first question for an event loop makes one that nobody closes; looptime asks in every test."""
