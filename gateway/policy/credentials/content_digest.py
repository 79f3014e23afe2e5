"""Content-Digest (RFC 9530 section 2): what a signature covers instead of the body; here it is compared with it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any, Final

FIELD: Final = b"content-digest"
_MEMBER: Final = re.compile(rb"[ \t]*+([a-z*][a-z0-9_.*-]*+)=:([A-Za-z0-9+/=]*+):[ \t]*+(?:,|\Z)")
_HASHES: Final[dict[bytes, Callable[[bytes], Any]]] = {b"sha-256": hashlib.sha256, b"sha-512": hashlib.sha512}


def agrees(value: bytes, body: bytes) -> bool:
    """Whether every digest that is known here is the body's, and there is one. What cannot be read agrees with
    nothing; MD5 and others that RFC 9530 section 5 calls insecure are not known."""
    found = _members(value)
    known = [(name, digest) for name, digest in found or () if name in _HASHES]
    return bool(known) and all(hmac.compare_digest(_HASHES[name](body).digest(), digest) for name, digest in known)


def field(body: bytes) -> bytes:
    """The value that a sender writes."""
    return b"sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()) + b":"


def _members(value: bytes) -> list[tuple[bytes, bytes]] | None:
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(value):
        match = _MEMBER.match(value, at)
        if match is None or match[1] in dict(found):
            return None
        try:
            found.append((match[1], base64.b64decode(match[2], validate=True)))
        except binascii.Error:
            return None
        at = match.end()
    return found
