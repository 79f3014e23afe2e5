"""SOAP 1.1 and 1.2: our own envelope, WSDL by spyne (PROTOCOLS S)."""
