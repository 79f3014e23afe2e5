"""The token endpoint of the gateway itself (RFC 6749 section 4.4), for teams without an identity provider."""
