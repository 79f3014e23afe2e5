"""Values that must never be printed, and the keyed hash by which API keys and tokens are stored and found."""

from __future__ import annotations

import hmac
import secrets as _random
from hashlib import sha256
from typing import Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

KEY_PREFIX: Final = "pk_"
TOKEN_PREFIX: Final = "pt_"  # noqa: S105 - a prefix, no secret
_BLOCK: Final = 64  # bytes of a block of SHA-256
_SALT: Final = b"penstock derived keys"


class Secret:
    """A string that prints as `[redacted]` everywhere; `reveal()` is the one way to read it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "[redacted]"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(str(value)),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _value: "[redacted]"),
        )


def revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def new_credential(prefix: str = KEY_PREFIX) -> str:
    """A fresh credential of 256 random bits: prefix + 43 characters of base64url (RFC 4648 section 5)."""
    return prefix + _random.token_urlsafe(32)


class KeyHasher:
    """Keyed SHA-256 (HMAC, RFC 2104) under the cluster's key secret, which is never in the store.

    A credential is looked up by this digest: the look-up takes the same time for known and unknown ones,
    as the digest of an unknown one is unpredictable without the secret.
    """

    __slots__ = ("_derived", "_inner", "_outer")

    def __init__(self, secret: Secret) -> None:
        """The key is hashed into both states once, where `hmac` would begin anew or copy three objects for each digest
        (RFC 2104 section 4)."""
        key = secret.reveal().encode()
        self._derived = hmac.digest(_SALT, key, sha256)
        block = (key if len(key) <= _BLOCK else sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, credential: bytes) -> bytes:
        """32 bytes."""
        inner = self._inner.copy()
        inner.update(credential)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose, by HKDF-SHA256 (RFC 5869): neither digests nor keys for other purposes
        tell anything about it."""
        return hmac.digest(self._derived, purpose.encode() + b"\x01", sha256)
