"""What a browser keeps for the gateway and cannot read or change: cookies that are encrypted and authenticated.

AES-256-GCM with a nonce of its own for each; name and purpose are authenticated, so that one cannot be put in another's
place. Long ones are cut into pieces, as browsers take 4,096 bytes (RFC 6265 section 6.1). `__Host-` binds them to the
one host, over TLS only. Loads `cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PIECE: Final = 3_800  # bytes of a value
PIECES: Final = 8
_NONCE: Final = 12


class TooLarge(ValueError):
    """The content does not fit into cookies."""


class SealedCookie:
    """`name` with `__Host-` before it where the site is `secure`; `key` has 32 bytes; `purpose` is authenticated."""

    def __init__(self, name: str, key: bytes, purpose: str, secure: bool) -> None:
        self.name = ("__Host-" if secure else "") + name
        self._cipher = AESGCM(key)
        self._purpose = f"{self.name} {purpose}".encode()
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def open(self, cookies: Iterable[tuple[bytes, bytes]], suffix: str = "") -> dict[str, Any] | None:
        """The content, or None where there is none of ours. Two cookies of one name are none (RFC 6265 section 5.4:
        their order proves nothing)."""
        name = (self.name + suffix).encode()
        found: dict[bytes, bytes] = {}
        for key, value in cookies:
            if key == name or key.startswith(name + b"."):
                if key in found:
                    return None
                found[key] = value
        text = b"".join(found.get(self._piece(name, number), b"") for number in range(PIECES))
        return self._unseal(text, suffix) if name in found else None

    def _piece(self, name: bytes, number: int) -> bytes:
        return name if number == 0 else name + b".%d" % number

    def _unseal(self, text: bytes, suffix: str) -> dict[str, Any] | None:
        try:
            data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
            plain = self._cipher.decrypt(data[:_NONCE], data[_NONCE:], self._purpose + suffix.encode())
        except (binascii.Error, InvalidTag, ValueError):
            return None
        content: dict[str, Any] = orjson.loads(plain)
        return content

    def seal(self, content: Mapping[str, Any], seconds: int, suffix: str = "") -> list[tuple[bytes, bytes]]:
        """Fields Set-Cookie that keep the content for so long, and take away what is left of a longer one. Raises
        TooLarge."""
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, orjson.dumps(content), self._purpose + suffix.encode())
        text = base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=")
        parts = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        if len(parts) > PIECES:
            raise TooLarge(f"a session of {len(text)} bytes does not fit into {PIECES} cookies")
        return [self._field(suffix, number, part, seconds) for number, part in enumerate(parts)]

    def _field(self, suffix: str, number: int, value: bytes, seconds: int) -> tuple[bytes, bytes]:
        name = self._piece((self.name + suffix).encode(), number)
        return b"Set-Cookie", b"%b=%b%b; Max-Age=%d" % (name, value, self._attributes.encode(), seconds)

    def forget(self, names: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """Fields that take the cookies of these names away."""
        attributes = self._attributes.encode()
        return [(b"Set-Cookie", b"%b=%b; Max-Age=0" % (name, attributes)) for name in names]

    def is_ours(self, name: bytes) -> bool:
        """Of this one, its pieces and its kin with a suffix."""
        own = self.name.encode()
        return name == own or name.startswith((own + b".", own + b"-"))
