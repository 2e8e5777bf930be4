"""Claims about the doors, on a store in memory and real HTTP on loopback."""
