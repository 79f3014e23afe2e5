"""REST, SOAP, OData, simple: each decodes requests into calls, encodes results and problems, and describes itself."""
