"""Tests against a whole site, or with real packets: they need root and tools of the machine."""
