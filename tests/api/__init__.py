"""The doors as a stranger, a portal, an operator and a job meet them: access, limits, keyhole."""
