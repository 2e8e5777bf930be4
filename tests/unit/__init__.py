"""Pure parts in virtual time, no I/O."""
