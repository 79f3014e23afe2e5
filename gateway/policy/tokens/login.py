"""Signing in by a browser: the authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0 section 3.1,
RFC 7636, RFC 9700), sessions in sealed cookies, their renewal and their end.

Where a browser is sent back to is never taken from a request's parameters: the page that it asked for is sealed in the
cookie of the attempt, and the origin is that of the configured callback. An attempt belongs to the browser that began
it: its state has to be in a cookie of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from gateway.core.clock import Clock
from gateway.core.errors import Forbidden, Unauthorized
from gateway.core.exchange import Exchange, Reply
from gateway.core.pkce import challenge
from gateway.policy.credentials.presented import cookies
from gateway.policy.tokens.browser import SAFE, crosses_sites
from gateway.policy.tokens.introspecting import failed
from gateway.policy.tokens.sealed_cookies import SealedCookie, TooLarge
from gateway.policy.tokens.sessions import Issuer, Session, SignInFailed

log: Final = logging.getLogger("gateway.auth")

ATTEMPT: Final = 600  # seconds for a person to sign in
ATTEMPTS: Final = 5  # cookies of attempts that a browser keeps
LONGEST: Final = 2048  # bytes of the page to return to; of a longer one, the callback's origin is
OVERLAP: Final = 10.0  # seconds in which requests with the cookie from before get what its renewal gave
_NO_STORE: Final = (b"Cache-Control", b"no-store")
_NOBODY: Final = "Signing in did not succeed. Open the page again."

Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Way:
    """What is configured: `callback` is the URL to which the issuer sends back, `logout` a path."""

    client_id: str
    callback: str
    scopes: tuple[str, ...]
    lifetime: float
    keep_access: bool
    logout: str | None = None
    after_logout: str | None = None


class Login:
    """Of one step. `answers` is for its own paths and for who has no session; `session` finds the one there is."""

    def __init__(self, way: Way, issuer: Issuer, cookie: SealedCookie, clock: Clock) -> None:
        parts = urlsplit(way.callback)
        self._way = way
        self._issuer = issuer
        self.cookie = cookie
        self._clock = clock
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._callback_path = parts.path.encode()
        self._logout_path = None if way.logout is None else way.logout.encode()
        self._renewing: dict[str, asyncio.Task[Session]] = {}

    # its own paths

    def answers(self, exchange: Exchange) -> Reply | Coroutine[Any, Any, Reply] | None:
        path = exchange.head.path
        if path == self._callback_path and exchange.head.method == b"GET":
            return self._called_back(exchange)
        if path == self._logout_path:
            return self._leave(exchange)
        return None

    async def send_away(self, exchange: Exchange) -> Reply:
        """To the issuer, with an attempt that this browser alone can end. Raises DependencyFailed."""
        metadata = await self._issuer.metadata.current()
        if metadata.authorization_endpoint is None:
            raise failed(metadata.issuer, "its metadata names no authorization_endpoint")
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        query = {
            "response_type": "code",
            "client_id": self._way.client_id,
            "redirect_uri": self._way.callback,
            "scope": " ".join(self._way.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        url = metadata.authorization_endpoint
        location = url + ("&" if "?" in url else "?") + urlencode(query)
        attempt = {"s": state, "n": nonce, "v": verifier, "t": self._page(exchange), "e": self._clock.time() + ATTEMPT}
        fields = self._forget_attempts(exchange, ATTEMPTS - 1)
        return _see(location, [*fields, *self.cookie.seal(attempt, ATTEMPT, _suffix(state))])

    def _page(self, exchange: Exchange) -> str:
        target = exchange.head.target
        return target.decode("ascii", "replace") if len(target) <= LONGEST else "/"

    def _forget_attempts(self, exchange: Exchange, but: int) -> Fields:
        start = self.cookie.name.encode() + b"-"
        attempts = [name for name, _ in cookies(exchange.head.block) if name.startswith(start)]
        return self.cookie.forget(attempts[: max(0, len(attempts) - but)])

    async def _called_back(self, exchange: Exchange) -> Reply:
        """Raises Unauthorized, DependencyFailed."""
        try:
            return await self._signed_in(exchange)
        except (SignInFailed, TooLarge) as error:
            log.info("request %s: signing in failed: %s", exchange.id, error)
            raise Unauthorized(_NOBODY, headers=[_NO_STORE]) from None

    async def _signed_in(self, exchange: Exchange) -> Reply:
        given = _single(exchange.head.query)
        state = given.get("state", "")
        attempt = self.cookie.open(cookies(exchange.head.block), _suffix(state))
        if attempt is None or not hmac.compare_digest(attempt["s"].encode(), state.encode()):
            raise SignInFailed("this browser began no such attempt")
        if self._clock.time() >= attempt["e"]:
            raise SignInFailed("the attempt is too old")
        await self._check_issuer(given)
        if "error" in given or "code" not in given:
            raise SignInFailed(f"the issuer refused: {given.get('error', 'no code')!r:.100}")
        form = {"grant_type": "authorization_code", "code": given["code"], "redirect_uri": self._way.callback}
        answer = await self._issuer.redeem(form | {"code_verifier": attempt["v"]})
        claims = await self._issuer.identify(answer.get("id_token"), attempt["n"])
        ends = self._clock.time() + self._way.lifetime
        session = self._issuer.session(claims, answer, ends, self._way.keep_access, None)
        gone = self.cookie.forget([(self.cookie.name + _suffix(state)).encode()])
        return _see(self._origin + attempt["t"], [*self.fields(session), *gone])

    async def _check_issuer(self, given: dict[str, str]) -> None:
        """RFC 9207: against an answer of another issuer that was mixed in."""
        metadata = await self._issuer.metadata.current()
        if given.get("iss", None if metadata.names_itself else metadata.issuer) != metadata.issuer:
            raise SignInFailed("another issuer answers")

    def fields(self, session: Session) -> Fields:
        """Set-Cookie of a session. Raises TooLarge."""
        return self.cookie.seal(session.content(), max(0, int(session.ends - self._clock.time())))

    async def _leave(self, exchange: Exchange) -> Reply:
        """RP-Initiated Logout 1.0 section 2."""
        if crosses_sites(exchange, self._origin.encode()):
            raise Forbidden("Another site cannot sign you out.")
        names = [name for name, _ in cookies(exchange.head.block) if self.cookie.is_ours(name)]
        after = self._way.after_logout or self._origin + "/"
        url = (await self._issuer.metadata.current()).end_session_endpoint
        if url is not None:
            query = {"client_id": self._way.client_id}
            query |= {"post_logout_redirect_uri": after} if self._way.after_logout else {}
            after = url + ("&" if "?" in url else "?") + urlencode(query)
        return _see(after, self.cookie.forget(names))

    # sessions

    def session(self, exchange: Exchange) -> Session | None:
        """That of the browser, also one that has to be renewed; None: there is none, or it has ended."""
        memo = exchange.head.memo
        if self not in memo:
            content = self.cookie.open(cookies(exchange.head.block))
            memo[self] = None if content is None else Session.read(content)
        session: Session | None = memo[self]
        return session if session is not None and self._clock.time() < session.ends else None

    def guard(self, exchange: Exchange) -> None:
        """Raises Forbidden when another site had a browser send what changes something."""
        changes = exchange.head.method not in SAFE or exchange.head.upgrade
        if changes and crosses_sites(exchange, self._origin.encode()):
            raise Forbidden("A page of another site cannot do that in your name.")

    def is_due(self, session: Session) -> bool:
        return self._clock.time() >= session.renew_at

    async def renewed(self, session: Session) -> Session:
        """By its refresh token, which is used once at a time: issuers take one that comes twice for stolen. Raises
        SignInFailed, DependencyFailed."""
        token = session.refresh or ""
        task = self._renewing.get(token)
        if task is None:
            task = self._renewing[token] = asyncio.get_running_loop().create_task(self._renew(session))
            task.add_done_callback(lambda done: self._has_renewed(token, done))
        return await asyncio.shield(task)

    def _has_renewed(self, token: str, task: asyncio.Task[Session]) -> None:
        """What failed is tried again; what came is kept for those who still have the cookie from before."""
        if task.cancelled() or task.exception() is not None:
            self._renewing.pop(token, None)
        else:
            asyncio.get_running_loop().call_later(OVERLAP, self._renewing.pop, token, None)

    async def _renew(self, session: Session) -> Session:
        form = {"grant_type": "refresh_token", "refresh_token": session.refresh or ""}
        answer = await self._issuer.redeem(form)
        claims = dict(session.claims)
        if "id_token" in answer:
            fresh = await self._issuer.identify(answer["id_token"], None)
            if fresh.get("sub") != claims.get("sub"):  # OpenID Connect Core 1.0 section 12.2
                raise SignInFailed("the renewed ID token is about somebody else")
            claims |= fresh
        return self._issuer.session(claims, answer, session.ends, self._way.keep_access, session)


def _suffix(state: str) -> str:
    """Each attempt has a cookie of its own, so that two tabs do not disturb each other."""
    return "-" + hashlib.sha256(state.encode()).hexdigest()[:12]


def _single(query: bytes) -> dict[str, str]:
    """Parameters that stand there once. SignInFailed for one that stands twice (RFC 6749 section 3.1)."""
    try:
        found = parse_qs(query.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise SignInFailed("there are too many parameters") from None
    if any(len(values) > 1 for values in found.values()):
        raise SignInFailed("a parameter stands there twice")
    return {name: values[0] for name, values in found.items()}


def _see(location: str, fields: Fields) -> Reply:
    return Reply(303, [(b"Location", location.encode("ascii", "replace")), _NO_STORE, *fields])
