"""A way to sign in at the console: the authorization code flow with PKCE, state and nonce at the organisation's OpenID
provider (OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9207, RFC 9700).

An attempt belongs to the browser that began it: its state has to be in a cookie of it, which is SameSite=Lax, as the
provider's redirect comes from another site. What it is about (nonce, verifier, the page to go to) stays in this
process, is used once and forgotten. Who came back is proved by the ID token; roles stand in the access token where that
is made for this gateway, else in the ID token. Both end, and are renewed by the refresh token if there is one; without
one, the session ends with them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.admin.console.gate import Gate, cookies
from gateway.admin.console.sessions import Prove
from gateway.admin.console.signing_in import Begin
from gateway.admin.console.visit import BASE, local
from gateway.admin.people import PERSON, People
from gateway.consumers.tokens import Token
from gateway.core.clock import Clock
from gateway.core.errors import Forbidden, Problem
from gateway.core.pkce import challenge
from gateway.core.secrets import Secret
from gateway.relay.outside import DependencyFailed, Outside

if TYPE_CHECKING:
    from gateway.policy.tokens.sessions import Issuer

log: Final = logging.getLogger("gateway.admin")

NAME: Final = "openid"
ATTEMPT: Final = 600.0  # seconds for a person to sign in
MOST: Final = 1000  # attempts; the oldest goes first
AHEAD: Final = 10.0  # seconds before their end at which tokens are renewed


class NotSignedIn(Problem):
    status, title, code = 403, "Signing in did not succeed", "not_signed_in"


@dataclass(frozen=True)
class Client:
    """This gateway at its provider. `secret` None: a public client."""

    issuer: str
    id: str
    secret: Secret | None
    scopes: Sequence[str]
    resource: str | None


@dataclass(frozen=True, slots=True)
class _Attempt:
    nonce: str
    verifier: str
    target: str
    ends: float


@dataclass(slots=True)
class _Signed:
    """Who was proved, until when, and how to go on then."""

    token: Token
    until: float
    refresh: str | None


class ByProvider:
    """Of one control process."""

    def __init__(self, client: Client, people: People, gate: Gate, outside: Outside, clock: Clock) -> None:
        self._client = client
        self._people = people
        self._gate = gate
        self._outside = outside
        self._clock = clock
        self._attempts: OrderedDict[str, _Attempt] = OrderedDict()
        self._issuer: Issuer | None = None

    async def answer(self, request: Request, begin: Begin) -> Response:
        if request.url.path.endswith("/back"):
            return await self._back(request, begin)
        return await self._away(request)

    # to the provider

    async def _away(self, request: Request) -> Response:
        issuer = await self._loaded()
        metadata = await issuer.metadata.current()
        if metadata.authorization_endpoint is None:
            raise DependencyFailed("The identity provider's metadata names no authorization_endpoint.")
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        target = local(request.query_params.get("to", BASE))
        attempt = _Attempt(secrets.token_urlsafe(32), verifier, target, self._clock.monotonic() + ATTEMPT)
        self._attempts[_hash(state)] = attempt
        if len(self._attempts) > MOST:
            self._attempts.popitem(last=False)
        query = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": self._redirect(request),
            "scope": " ".join(self._client.scopes),
            "state": state,
            "nonce": attempt.nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
            **self._resource(),
        }
        url = metadata.authorization_endpoint
        answer = RedirectResponse(url + ("&" if "?" in url else "?") + urlencode(query), 303)
        answer.headers["Set-Cookie"] = self._cookie(request, state)
        return answer

    def _resource(self) -> dict[str, str]:
        return {} if self._client.resource is None else {"resource": self._client.resource}

    def _redirect(self, request: Request) -> str:
        return f"{self._gate.origin(request)}{BASE}/sign-in/{NAME}/back"

    def _name(self, request: Request) -> str:
        return self._gate.cookie_name(self._gate.origin(request)) + "-attempt"

    def _cookie(self, request: Request, value: str) -> str:
        made = self._gate.cookie(self._gate.origin(request), self._name(request), value)
        made = made.replace("SameSite=Strict", "SameSite=Lax")
        return f"{made}; Max-Age={int(ATTEMPT)}" if value else made

    # and back

    async def _back(self, request: Request, begin: Begin) -> Response:
        from gateway.policy.tokens.sessions import SignInFailed

        try:
            attempt, signed = await self._signed(request)
        except SignInFailed as error:
            log.info("signing in at the console failed: %s", error)
            raise NotSignedIn(f"It failed, as {error}. Begin again at {BASE}/sign-in.") from None
        answer = begin(request, self._prover(signed), attempt.target, await self._leave())
        answer.headers.append("Set-Cookie", self._cookie(request, ""))
        log.info("%s signed in at the console", signed.token.name)
        return answer

    async def _signed(self, request: Request) -> tuple[_Attempt, _Signed]:
        from gateway.policy.tokens.sessions import SignInFailed

        given = _single(request)
        attempt = self._attempt(request, given.get("state", ""))
        issuer = await self._loaded()
        metadata = await issuer.metadata.current()
        if given.get("iss", None if metadata.names_itself else metadata.issuer) != metadata.issuer:
            raise SignInFailed("another provider answered")
        if "code" not in given:
            raise SignInFailed(f"the provider answered {given.get('error', 'without a code')!r:.60}")
        form = {
            "grant_type": "authorization_code",
            "code": given["code"],
            "redirect_uri": self._redirect(request),
            "code_verifier": attempt.verifier,
            **self._resource(),
        }
        told = await issuer.redeem(form)
        claims = await issuer.identify(told.get("id_token"), attempt.nonce)
        return attempt, await self._person(claims, told, None)

    async def _leave(self) -> str:
        """OpenID Connect RP-Initiated Logout 1.0 section 2."""
        url = (await (await self._loaded()).metadata.current()).end_session_endpoint
        if url is None:
            return ""
        return url + ("&" if "?" in url else "?") + urlencode({"client_id": self._client.id})

    def _attempt(self, request: Request, state: str) -> _Attempt:
        """Used once, whatever becomes of it."""
        from gateway.policy.tokens.sessions import SignInFailed

        sent = cookies(request).get(self._name(request), "")
        if not state or not hmac.compare_digest(sent.encode(), state.encode()):
            raise SignInFailed("this browser began no such attempt")
        attempt = self._attempts.pop(_hash(state), None)
        if attempt is None or self._clock.monotonic() >= attempt.ends:
            raise SignInFailed("the attempt is over: it took too long, was used before, or the gateway has restarted")
        return attempt

    async def _person(self, claims: Mapping[str, Any] | None, told: Mapping[str, Any], before: str | None) -> _Signed:
        """Of the ID token's claims, where one came, and the answer with it; `before`: the refresh token so far. Raises
        Forbidden for a person without a role."""
        from gateway.policy.tokens.sessions import SignInFailed

        access, refresh = told.get("access_token"), told.get("refresh_token")
        found = await self._named(claims, access if isinstance(access, str) else "")
        if found is None:
            raise SignInFailed("the provider's tokens name nobody")
        if claims is not None and found.id != f"{PERSON}{claims.get('sub')}":
            raise SignInFailed("the provider's tokens are about different people")
        return _Signed(found, found.ends or 0.0, refresh if isinstance(refresh, str) else before)

    async def _named(self, claims: Mapping[str, Any] | None, access: str) -> Token | None:
        """An access token that is no JWT is asked about only where the ID token does not do."""
        found = await self._people.token(access) if access.count(".") == 2 else None
        if found is not None:
            return found
        if claims is None:
            return await self._people.opaque(access)
        try:
            return self._people.person(claims, float(claims["exp"]))
        except Forbidden:
            found = await self._people.opaque(access)
            if found is None:
                raise
            return found

    # afterwards

    def _prover(self, signed: _Signed) -> Prove:
        """Who it is now: renewed by one request at a time."""
        lock = asyncio.Lock()

        async def prove() -> Token | None:
            async with lock:
                due = self._clock.time() >= signed.until - (AHEAD if signed.refresh else 0.0)
                return None if due and not await self._renewed(signed) else signed.token

        return prove

    async def _renewed(self, signed: _Signed) -> bool:
        """False: the session is over. Raises DependencyFailed while nobody can tell."""
        from gateway.policy.tokens.sessions import SignInFailed

        if signed.refresh is None:
            return False
        issuer = await self._loaded()
        form = {"grant_type": "refresh_token", "refresh_token": signed.refresh, **self._resource()}
        try:
            told = await issuer.redeem(form)
            claims = await issuer.identify(told["id_token"], None) if "id_token" in told else None
            fresh = await self._person(claims, told, signed.refresh)
        except (SignInFailed, Problem) as error:
            if isinstance(error, DependencyFailed):
                raise
            log.info("the session of %s at the console has ended: %s", signed.token.name, error)
            return False
        if fresh.token.id != signed.token.id:
            return False
        signed.token, signed.until, signed.refresh = fresh.token, fresh.until, fresh.refresh
        return True

    async def _loaded(self) -> Issuer:
        if self._issuer is None:
            await asyncio.to_thread(_load)
            from gateway.policy.tokens.algorithms import ASYMMETRIC
            from gateway.policy.tokens.client import Client as Proved
            from gateway.policy.tokens.client import Prover
            from gateway.policy.tokens.compact import Compact
            from gateway.policy.tokens.published import Published
            from gateway.policy.tokens.rules import Rules
            from gateway.policy.tokens.sessions import Issuer

            client, published = self._client, self._outside.shared(Published)
            self._issuer = Issuer(
                published.metadata(client.issuer),
                published.keys_of(client.issuer),
                Compact(ASYMMETRIC, (None, "jwt")),
                Rules(client.issuer, (client.id,), 5.0),
                Prover(Proved(id=client.id, secret=client.secret and client.secret.reveal()), self._clock),
                client.id,
                self._outside,
                self._clock,
                5.0,
                None,
            )
        return self._issuer


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def _single(request: Request) -> dict[str, str]:
    """Parameters that stand there once (RFC 6749 section 3.1)."""
    from gateway.policy.tokens.sessions import SignInFailed

    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise SignInFailed("a parameter stands there twice")
    return dict(pairs)


def _load() -> None:
    """Large libraries, in a thread."""
    import gateway.policy.tokens.compact
    import gateway.policy.tokens.published
    import gateway.policy.tokens.sessions  # noqa: F401
