"""Stand-ins that obey the rules of the real thing and pass its contract tests."""
