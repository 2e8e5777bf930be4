"""Hands: every effect on the cluster goes through here."""
