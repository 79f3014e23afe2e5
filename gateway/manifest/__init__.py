"""Documents: strict loading, resolving, bundles. The only I/O is in `resolve`."""
