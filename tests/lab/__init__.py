"""Tests against the real test site: Slurm, sshd, sudo, iptables and etcd of the distribution, in namespaces."""
