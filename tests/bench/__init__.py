"""Measurements, run by hand; they print ratios, for absolute numbers belong to a machine."""
