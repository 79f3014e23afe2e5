"""Secrets that must be usable, such as those of HMAC signatures: kept encrypted, so that neither the store nor what a
node keeps on disk shows one. AES-256-GCM under a key derived from the cluster's key secret, with a nonce of its own for
each; the context (whose secret it is) is authenticated, so that one cannot be put in the place of another.

Imported where such a secret is read or written, as `cryptography` is large.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.core.errors import Unavailable
from gateway.core.secrets import KeyHasher

_NONCE: Final = 12  # bytes; random ones are safe for 2^32 secrets under one key (NIST SP 800-38D, section 8.3)
_PURPOSE: Final = "sealed secrets 1"


class SealedElsewhere(Unavailable):
    """The secret was encrypted under another key secret than this node has."""

    title, code = "A secret cannot be read here", "secret_unreadable"


class Sealer:
    """Made at build time; `open` takes some 3 µs."""

    def __init__(self, hasher: KeyHasher) -> None:
        self._cipher = AESGCM(hasher.derive(_PURPOSE))

    def seal(self, secret: bytes, context: str) -> str:
        nonce = os.urandom(_NONCE)
        return b64encode(nonce + self._cipher.encrypt(nonce, secret, context.encode())).decode()

    def open(self, sealed: str, context: str) -> bytes:
        """SealedElsewhere for what this cluster did not seal for this context."""
        try:
            raw = b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], context.encode())
        except (InvalidTag, ValueError):
            raise SealedElsewhere("It was encrypted under another PENSTOCK_KEY_SECRET.") from None
