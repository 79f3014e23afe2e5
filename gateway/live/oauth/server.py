"""The authorization server: Authlib's core, over the directory. It decides at once and signs nothing; what takes time
(the store, a signature) is done by `endpoint` once it has decided.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientCredentialsGrant,
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from gateway.core.clock import Clock
from gateway.live.oauth.clients import FAILED, INTROSPECT, METHODS, Client, Clients
from gateway.live.oauth.forms import Form
from gateway.policy.tokens.compact import Compact
from gateway.policy.tokens.own_issuer import OwnIssuer
from gateway.policy.tokens.refusals import InvalidToken
from gateway.policy.tokens.rules import Rules

URN: Final = "urn:penstock:api:"  # an API as a `resource`


@dataclass
class Told:
    """What the server decided."""

    status: int
    body: dict[str, Any]
    headers: list[tuple[str, str]] = field(default_factory=list)


class InvalidTarget(OAuth2Error):  # type: ignore[misc]  # Authlib is untyped
    """RFC 8707 section 2."""

    error = "invalid_target"


class Asked(OAuth2Request):  # type: ignore[misc]
    """One request. `once`: an assertion's identity, to be used once; `claims`: the token to sign; `revoked`: the token
    to revoke; `proved`: the client has proved itself."""

    def __init__(self, form: Form, authorization: str | None) -> None:
        super().__init__("POST", "https://gateway/", headers={"Authorization": authorization} if authorization else {})
        self.payload = BasicOAuth2Payload(form)
        self.once: str | None = None
        self.claims: dict[str, Any] | None = None
        self.revoked: Mapping[str, Any] | None = None
        self.proved = False

    @property
    def form(self) -> Form:
        found: Form = self.payload.data
        return found


class IssuedToken:
    """A token of ours that was verified; `refusal` why it holds no more all the same."""

    def __init__(self, claims: Mapping[str, Any], refusal: str | None) -> None:
        self.claims = claims
        self._refusal = refusal

    def check_client(self, client: Client) -> bool:
        return bool(self.claims.get("client_id") == client.id)

    def is_expired(self) -> bool:
        return False  # it is no token then

    def is_revoked(self) -> bool:
        return self._refusal is not None


class Server(AuthorizationServer):  # type: ignore[misc]
    """`lifetime`: seconds of a token."""

    def __init__(self, own: OwnIssuer, clients: Clients, clock: Clock, lifetime: float) -> None:
        super().__init__()
        self.own = own
        self.clients = clients
        self.clock = clock
        self.lifetime = lifetime
        self._keys = own.keys()
        self._compact = Compact(("ES256", "RS256"), ("at+jwt",))
        self._rules = Rules(own.url, None, 0.0)
        self.register_client_auth_method("private_key_jwt", clients.by_assertion)
        self.register_grant(_Grant)
        self.register_endpoint(_Introspection)
        self.register_endpoint(_Revocation)

    def query_client(self, client_id: str) -> Client:
        return self.clients.find(client_id)

    def authenticate_client(self, request: Asked, methods: list[str], endpoint: str = "token") -> Client:
        """One way of proof at a time (RFC 6749 section 2.3)."""
        ways = [bool(request.headers), "client_secret" in request.form, "client_assertion" in request.form]
        if sum(ways) > 1:
            raise InvalidRequestError("The client shows more than one proof of itself.")
        try:
            client: Client = super().authenticate_client(request, methods, endpoint)
        except (InvalidClientError, UnicodeDecodeError, ValueError):
            raise InvalidClientError(FAILED, status_code=401) from None
        if request.form.get("client_id", client.id) != client.id:
            raise InvalidClientError(FAILED, status_code=401)
        request.proved = True
        return client

    def create_oauth2_request(self, request: Asked) -> Asked:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Told:
        return Told(status, dict(body), list(headers))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def save_token(self, token: Any, request: Asked) -> None:
        """It is signed, not kept."""

    def read(self, token: str) -> IssuedToken | None:
        """A token of this issuer whose signature and times hold; None for anything else."""
        try:
            signed = self._compact.read(token.encode())
            keys = self._keys.value
            claims = self._compact.claims(signed, () if keys is None else keys.find(signed.kid, signed.algorithm))
            self._rules.check(claims, self.clock.time())
        except (InvalidToken, UnicodeEncodeError):
            return None
        return IssuedToken(claims, self.own.refusal(claims, self.clock.time()))


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def validate_requested_scope(self) -> None:
        """What it asks for, or all that it may have; and for which APIs."""
        client: Client = self.request.client
        asked = frozenset((self.request.payload.scope or "").split(" ")) - {""}
        if not asked <= client.scopes:
            raise InvalidScopeError("The client may not have all of these scopes.")
        self._scope = " ".join(sorted(asked or client.scopes))
        self._audience = self._targets(client)

    def _targets(self, client: Client) -> list[str]:
        may = client.targets(self.server.clock.time())
        asked = [_target(*each) for each in self.request.form.targets]
        if any(each not in may for each in asked):
            raise InvalidTarget("The client has no subscription to one of these APIs.")
        return list(dict.fromkeys(asked)) or may or [self.server.own.url]

    def generate_token(self, **_given: Any) -> dict[str, Any]:
        """What RFC 9068 section 2.2 asks for; signed later."""
        client, server = self.request.client, self.server
        now = int(server.clock.time())
        exp = now + int(server.lifetime)
        if client.credential.ends is not None:
            exp = min(exp, int(client.credential.ends))
        claims = {"iss": server.own.url, "sub": client.id, "client_id": client.id, "iat": now, "exp": exp}
        claims |= {"aud": self._audience, "jti": secrets.token_urlsafe(16), "scope": self._scope}
        if client.credential.roles:
            claims["roles"] = sorted(client.credential.roles)
        self.request.claims = claims
        return {"token_type": "Bearer", "expires_in": exp - now, "scope": self._scope}


def _target(name: str, value: str) -> str:
    if name == "audience":
        return value
    if not value.startswith(URN):
        raise InvalidTarget(f"A resource is an API, written as {URN}NAME.")
    return value.removeprefix(URN)


class _Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = METHODS

    def check_params(self, request: Asked, client: Client) -> None:
        _check_token(request)

    def query_token(self, token_string: str, _hint: str | None) -> IssuedToken | None:
        found: IssuedToken | None = self.server.read(token_string)
        return found

    def check_permission(self, token: IssuedToken, client: Client, _request: Asked) -> bool:
        return token.check_client(client) or INTROSPECT in client.scopes

    def introspect_token(self, token: IssuedToken) -> dict[str, Any]:
        return {"active": True, "token_type": "Bearer", **token.claims}


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = METHODS

    def check_params(self, request: Asked, client: Client) -> None:
        _check_token(request)

    def query_token(self, token_string: str, _hint: str | None) -> IssuedToken | None:
        found: IssuedToken | None = self.server.read(token_string)
        return found

    def revoke_token(self, token: IssuedToken, request: Asked) -> None:
        if not token.is_revoked():
            request.revoked = token.claims


def _check_token(request: Asked) -> None:
    """A hint may be anything: only access tokens are issued (RFC 7009 section 2.1, RFC 7662 section 2.1)."""
    if "token" not in request.form:
        raise InvalidRequestError("Send the token as `token`.")
