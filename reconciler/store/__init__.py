"""What etcd keeps, and the only code that knows how."""
