"""Admin REST: documents in, state out, roles, audit."""
