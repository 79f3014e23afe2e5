"""Exchange, chain loop, kinds, errors, clock, secrets, settings: no I/O and no framework."""
