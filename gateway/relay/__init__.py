"""Bytes to an upstream and back: pool, connection, streaming."""
