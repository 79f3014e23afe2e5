"""How the gateway proves itself to an authorization server (RFC 6749 section 2.3, RFC 7523)."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote_plus, urlencode

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.clock import Clock

ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE: Final = 60  # seconds of an assertion

Method = Literal["basic", "post", "private_key_jwt", "none"]
Pairs = list[tuple[bytes, bytes]]


class Client(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: str = Field(min_length=1, description="the client id of the gateway")
    secret: str | None = Field(None, min_length=1, repr=False, description="its secret, as secret:NAME")
    private_key: str | None = Field(None, min_length=1, repr=False, description="its private key (PEM), as secret:NAME")
    key_id: str | None = Field(None, description="the kid of the private key")
    method: Method | None = Field(None, description="default: basic with a secret, private_key_jwt with a key")

    @model_validator(mode="after")
    def _fits(self) -> Client:
        needs = {"basic": ("secret",), "post": ("secret",), "private_key_jwt": ("private_key",), "none": ()}[self.proof]
        given = tuple(name for name in ("secret", "private_key") if getattr(self, name) is not None)
        if given != needs:
            raise ValueError(f"the method {self.proof} takes {' and '.join(needs) or 'neither secret nor private_key'}")
        return self

    @property
    def proof(self) -> Method:
        return self.method or ("basic" if self.secret else "private_key_jwt" if self.private_key else "none")


class Prover:
    """Makes requests of one client. ValueError for a private key that cannot be read."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._key = None if client.private_key is None else _private_key(client.private_key)

    @property
    def repeatable(self) -> bool:
        """Whether the same bytes may be sent twice: an assertion is for one use."""
        return self._key is None

    async def form(self, audience: str, content: Mapping[str, str]) -> tuple[Pairs, bytes]:
        """Header fields and body of a form that is sent to the server as this client. `audience`: the endpoint."""
        client = self._client
        fields = [(b"Content-Type", b"application/x-www-form-urlencoded"), (b"Accept", b"application/json")]
        form = dict(content)
        if client.proof == "basic":
            pair = f"{quote_plus(client.id)}:{quote_plus(client.secret or '')}"
            fields.append((b"Authorization", b"Basic " + base64.b64encode(pair.encode())))
        else:
            form["client_id"] = client.id
        if client.proof == "post":
            form["client_secret"] = client.secret or ""
        if client.proof == "private_key_jwt":
            form |= {"client_assertion_type": ASSERTION, "client_assertion": await self._assertion(audience)}
        return fields, urlencode(form).encode()

    async def _assertion(self, audience: str) -> str:
        """RFC 7523 section 3. Signing takes the better part of a millisecond: off the loop."""
        import jwt

        now = int(self._clock.time())
        claims = {"iss": self._client.id, "sub": self._client.id, "aud": audience, "iat": now, "exp": now + LIFE}
        claims["jti"] = secrets.token_urlsafe(16)
        header = {} if self._client.key_id is None else {"kid": self._client.key_id}
        assert self._key is not None
        key, algorithm = self._key
        return await asyncio.to_thread(jwt.encode, claims, key, algorithm, header)


def _private_key(pem: str) -> tuple[Any, str]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError):
        raise ValueError("the client's private_key is no unencrypted private key in PEM") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return key, "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return key, "ES256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key, "EdDSA"
    raise ValueError("the client's private_key is neither RSA with 2048 bits or more, P-256 nor Ed25519")
