"""Machinery that knows nothing of jobs: work queue, backoff, informer, worker."""
