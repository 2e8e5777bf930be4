"""Claims about the etcd client that need no etcd."""
