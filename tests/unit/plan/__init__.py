"""Claims about `reconciler.plan`."""
