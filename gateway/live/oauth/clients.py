"""Who asks the token endpoint: OAuth clients of the directory, proved by a secret or a signed assertion.

An unknown client, a wrong secret and a suspended application read the same and take the same time: what is unknown is
checked against something that nobody has.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Final

from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.consumers.credentials import Credential
from gateway.consumers.current import CurrentDirectory
from gateway.core.clock import Clock
from gateway.core.secrets import KeyHasher
from gateway.policy.tokens.algorithms import ASYMMETRIC
from gateway.policy.tokens.compact import Compact, Signed
from gateway.policy.tokens.own_issuer import CLIENT
from gateway.policy.tokens.refusals import InvalidToken
from gateway.policy.tokens.rules import Rules
from gateway.policy.tokens.signing_keys import KeySet, from_jwks, public_key

FAILED: Final = "The client could not be authenticated."
ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LEEWAY: Final = 30.0  # seconds by which a client's clock may differ
LONGEST: Final = 3600.0  # seconds that an assertion may last; clients such as Authlib's ask for as many
LONGEST_JTI: Final = 256  # characters
INTROSPECT: Final = "penstock:introspect"  # the scope of clients that may ask about every token
METHODS: Final = ["client_secret_basic", "client_secret_post", "private_key_jwt"]


class Client(ClientMixin):  # type: ignore[misc]  # Authlib is untyped
    """`credential` None: there is no such client; nothing proves it."""

    def __init__(self, id: str, credential: Credential | None, clients: Clients) -> None:
        self.id = id
        self.credential = credential
        self._clients = clients

    def get_client_id(self) -> str:
        return self.id

    def check_client_secret(self, client_secret: str) -> bool:
        return self._clients.proves(self, client_secret)

    def check_endpoint_auth_method(self, _method: str, _endpoint: str) -> bool:
        return True

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset() if self.credential is None else self.credential.scopes

    def targets(self, now: float) -> list[str]:
        """The APIs that it may call."""
        found = self.credential
        ties = () if found is None else found.owner.ties()
        return sorted(tie.api for tie in ties if found is not None and found.refusal(tie.api, now) is None)


class Clients:
    """`audiences`: what an assertion may be for: the issuer, and its endpoints."""

    def __init__(
        self, directory: CurrentDirectory, hasher: KeyHasher, clock: Clock, issuer: str, audiences: frozenset[str]
    ) -> None:
        self._directory = directory
        self._hasher = hasher
        self._clock = clock
        self._audiences = audiences | {issuer}
        self._compact = Compact(ASYMMETRIC, (None, "jwt", "client-authentication+jwt"))
        self._nobody = (secrets.token_bytes(32),)
        self._nobodys_keys = _decoys()

    def find(self, id: str) -> Client:
        return Client(id, self._directory.credential(CLIENT, id), self)

    def proves(self, client: Client, secret: str) -> bool:
        digest, now = self._hasher.digest(secret.encode()), self._clock.time()
        known = [bytes.fromhex(each["digest"]) for each in _secrets(client, now) if "digest" in each]
        right = [hmac.compare_digest(each, digest) for each in known or self._nobody]
        return any(right) and bool(known) and _stands(client, now)

    def by_assertion(self, _query: Any, request: Any) -> Client | None:
        """`private_key_jwt` (RFC 7523 sections 2.2 and 3). `request.once` is what must not have been used before: asked
        of the store afterwards. None: the request shows no assertion."""
        form = request.form
        if "client_assertion" not in form:
            return None
        if form.get("client_assertion_type") != ASSERTION:
            raise InvalidClientError(FAILED)
        try:
            client, jti = self._asserted(form["client_assertion"].encode(), form.get("client_id"))
        except InvalidToken:
            raise InvalidClientError(FAILED) from None
        request.once = f"{client.id} {jti}"
        return client

    def _asserted(self, assertion: bytes, named: str | None) -> tuple[Client, str]:
        signed, now = self._compact.read(assertion), self._clock.time()
        id = self._compact.unproved(signed).get("sub")
        if not isinstance(id, str) or named not in (None, id):
            raise InvalidToken("its sub is no client")
        client = self.find(id)
        claims = self._compact.claims(signed, self._keys(client, signed, now))
        Rules(id, self._audiences, LEEWAY).check(claims, now)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_JTI:
            raise InvalidToken("its jti is missing or too long")
        if claims["exp"] > now + LONGEST + LEEWAY:
            raise InvalidToken("it lasts too long")
        if not _stands(client, now):
            raise InvalidToken("its client is not in force")
        return client, jti

    def _keys(self, client: Client, signed: Signed, now: float) -> Any:
        sets = [from_jwks(each["jwks"]) for each in _secrets(client, now) if "jwks" in each]
        found = [key for each in sets for key in each.find(signed.kid, signed.algorithm)]
        return found or self._nobodys_keys.find(None, signed.algorithm)


def _secrets(client: Client, now: float) -> list[Mapping[str, Any]]:
    return [] if client.credential is None else client.credential.secrets(now)


def _stands(client: Client, now: float) -> bool:
    return client.credential is not None and client.credential.standing(now) is None


def _decoys() -> KeySet:
    """Public keys of every kind to which nobody has a private one."""
    modulus = secrets.randbits(2048) | 1 << 2047 | 1
    keys: list[Any] = [ec.generate_private_key(curve()).public_key() for curve in (ec.SECP256R1, ec.SECP384R1)]
    keys += [ec.generate_private_key(ec.SECP521R1()).public_key(), ed25519.Ed25519PrivateKey.generate().public_key()]
    keys.append(rsa.RSAPublicNumbers(65537, modulus).public_key())
    return KeySet([public_key(key) for key in keys], b"")
