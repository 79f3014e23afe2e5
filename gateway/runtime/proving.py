"""How a gateway and a runtime prove to each other that they know the same token, without showing it (RFC 2104).

Each gives a number that was never used before; a proof holds for these two numbers and for one side alone, so that
neither can be replayed or sent back. It says nothing about who reads along: that is what TLS is for.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Final

from gateway.core.secrets import Secret

PROTOCOL: Final = 1
GATEWAY: Final = b"gateway"
RUNTIME: Final = b"runtime"
GREETING: Final = 4096  # bytes of JSON before the other side is known
PATIENCE: Final = 5.0  # seconds until both have proved themselves


def new_nonce() -> str:
    return secrets.token_hex(32)


def proof(token: Secret | None, side: bytes, of_runtime: str, of_gateway: str) -> str:
    """64 hexadecimal digits. Without a token the proof is worth nothing: the socket's mode decides."""
    key = b"" if token is None else token.reveal().encode()
    told = b"penstock runtime 1\0" + b"\0".join((side, of_runtime.encode(), of_gateway.encode()))
    return hmac.new(key, told, sha256).hexdigest()


def holds(given: object, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())
