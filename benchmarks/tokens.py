"""Signed tokens for the twin's rows: the key is made for one run, and its public half goes into the documents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from benchmarks.messages import Message
from gateway.policy.tokens.memo import MOST

FAR: Final = 4_000_000_000  # seconds since 1970
SEEN: Final = 1000  # tokens that stay in memory
NEW: Final = MOST + 100  # in turn: none of them is still in memory when it comes again


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def key_set() -> str:
    """A JWK set, as JSON text."""
    return orjson.dumps(key_set_object()).decode()


def key_set_object() -> dict[str, Any]:
    found = RSAAlgorithm.to_jwk(_key().public_key(), as_dict=True) | {"kid": "bench", "alg": "RS256", "use": "sig"}
    found.pop("key_ops", None)
    return {"keys": [found]}


@cache
def token(number: int) -> str:
    claims = {"iss": "https://id.example", "aud": "bench", "sub": f"person-{number}", "exp": FAR, "scope": "read write"}
    claims |= {"client_id": "partner", "jti": f"{number:032x}", "iat": 1_700_000_000}
    return jwt.encode(claims, _key(), "RS256", headers={"kid": "bench"})


@dataclass(frozen=True)
class Tokens(Message):
    """So many callers in turn, each with a token of its own."""

    count: int = 1

    def raws(self) -> list[bytes]:
        made = (("Authorization", f"Bearer {token(number)}") for number in range(self.count))
        return [replace(self, fields=(*self.fields, field)).raw() for field in made]


OPEN: Final = Tokens("/tokens/v1/open/items/42", fields=())
OPEN_MANY: Final = Tokens("/tokens/v1/open/items/42", fields=(), count=SEEN)
AGAIN: Final = Tokens("/tokens/v1/jwt/items/42", fields=())
KNOWN: Final = Tokens("/tokens/v1/jwt/items/42", fields=(), count=SEEN)
FIRST: Final = Tokens("/tokens/v1/jwt/items/42", fields=(), count=NEW)
