"""Proof Key for Code Exchange (RFC 7636), S256: what whoever signs people in sends first, and proves at the end."""

from __future__ import annotations

import base64
import hashlib


def challenge(verifier: str) -> str:
    """Of a verifier of 43 to 128 unreserved characters (sections 4.1, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
