"""Claims about `reconciler.model`."""
