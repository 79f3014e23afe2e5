"""An issuer of tokens for tests: keys, tokens, and an HTTP service that publishes its keys and metadata."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.upstreams import Conversation, Received, RecordingUpstream, upstream

NOW = 1_700_000_000  # where a `ManualClock` begins
Answer = Callable[[Received], "bytes | Awaitable[bytes]"]


def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """Made once; different numbers, different keys."""
    return _rsa_key(number)


@lru_cache
def _rsa_key(_number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@lru_cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


@lru_cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def public_der(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def jwk(key: Any, kid: str | None = "k1", **more: Any) -> dict[str, Any]:
    makers = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    maker = next((each for kind, each in makers.items() if isinstance(key, kind)), OKPAlgorithm)
    found = maker.to_jwk(key.public_key(), as_dict=True)
    found.pop("key_ops", None)
    return found | ({} if kid is None else {"kid": kid}) | more


def jwks(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(keys)}


def claims(**more: Any) -> dict[str, Any]:
    found = {"sub": "ann", "iss": "https://id.example", "aud": "shop", "exp": NOW + 600, "scope": "read write"} | more
    return {name: value for name, value in found.items() if value is not None}


def token(
    given: Mapping[str, Any] | None = None, key: Any = None, algorithm: str = "RS256", kid: Any = "k1", **header: Any
) -> bytes:
    """Signed as told; a header field that is None is left out."""
    made = {"kid": kid} | header
    fields = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(dict(given or claims()), key or rsa_key(), algorithm, headers=fields).encode()


def bearer(text: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"Authorization", b"Bearer " + text)]


def answer(content: Any, status: int = 200, fields: str = "") -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Service:
    """What answers by path; `answers` may be changed at any time. `asked` counts by path."""

    def __init__(self, recording: RecordingUpstream | None = None) -> None:
        self.answers: dict[str, bytes | Answer] = {}
        self.asked: dict[str, int] = {}
        self.recording = recording
        self.url = ""

    async def converse(self, conversation: Conversation) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                received = await conversation.request()
                path = received.target.decode().partition("?")[0]
                self.asked[path] = self.asked.get(path, 0) + 1
                found = self.answers.get(path, answer({}, 404))
                made = found(received) if callable(found) else found
                conversation.send(made if isinstance(made, bytes) else await made)


@contextlib.asynccontextmanager
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with upstream(made.converse) as recording:
        made.recording, made.url = recording, recording.url
        yield made


@contextlib.asynccontextmanager
async def issuer(**endpoints: str) -> AsyncIterator[Service]:
    """With metadata that names its keys, which are those of `rsa_key()` as `k1`."""
    async with service() as made:
        found = {"issuer": made.url, "jwks_uri": made.url + "/keys"}
        found |= {name: made.url + path for name, path in endpoints.items()}
        made.answers["/.well-known/openid-configuration"] = answer(found)
        made.answers["/keys"] = answer(jwks(jwk(rsa_key())))
        yield made
