"""DNAT on a gateway through iptables."""
