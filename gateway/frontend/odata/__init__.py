"""OData 4.0 and 4.01: URLs, payloads, service document, CSDL (PROTOCOLS O)."""
