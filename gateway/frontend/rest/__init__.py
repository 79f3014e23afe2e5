"""REST: parameters and bodies by type, problem details, OpenAPI (PROTOCOLS R)."""
