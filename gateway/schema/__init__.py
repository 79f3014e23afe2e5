"""The type table: one typed operation in JSON Schema, Python annotations, XSD and EDM (PROTOCOLS T)."""
