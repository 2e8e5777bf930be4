"""Glue, one file per kind of thing: gather, decide, act, report."""
