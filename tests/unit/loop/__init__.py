"""Claims about `reconciler.loop`."""
