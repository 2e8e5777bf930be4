"""The doors from outside, as a stranger, a portal, an operator and a job meet them."""
