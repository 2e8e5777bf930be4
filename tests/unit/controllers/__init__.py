"""Whole lives of jobs: the real controllers on a Slurm, gateways and an etcd in memory, in virtual time."""
