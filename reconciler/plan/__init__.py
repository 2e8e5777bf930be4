"""Decisions: pure functions of what is wished, what is seen and the time."""
