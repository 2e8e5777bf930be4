"""The whole system, and each part that touches the machine, on real parts in network namespaces."""
