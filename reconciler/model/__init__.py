"""Nouns: what a portal wishes, what the cluster shows, what the controller reports. No I/O, no clock."""
