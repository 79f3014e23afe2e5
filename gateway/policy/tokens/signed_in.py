"""The step for people: it answers its own paths, lets in who has a session, and sends to the issuer who has none and
looks at a page."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from gateway.core import headers
from gateway.core.exchange import Exchange, Reply
from gateway.core.identity import Identity
from gateway.core.kinds import Site
from gateway.core.secrets import KeyHasher
from gateway.policy.credentials.presented import cookie_concealer
from gateway.policy.tokens.admission import Admission
from gateway.policy.tokens.browser import navigates
from gateway.policy.tokens.login import Login
from gateway.policy.tokens.memo import Verified
from gateway.policy.tokens.refusals import InvalidToken
from gateway.policy.tokens.sealed_cookies import TooLarge
from gateway.policy.tokens.sessions import FOREVER, Session, SignInFailed
from gateway.policy.tokens.settings import TokenSettings

AUTHORIZATION = b"authorization"


class SignedIn:
    """Of one step. `enter` decides about requests without a bearer token."""

    def __init__(self, settings: TokenSettings, login: Login, site: Site) -> None:
        self.login = login
        self.conceal = cookie_concealer(login.cookie.is_ours)
        self._admission = Admission(settings, site, "openid-connect", _lasts)
        self._hasher = site.services.of(KeyHasher)

    def enter(self, exchange: Exchange) -> Any:
        session = self.login.session(exchange)
        if session is None:
            return self._nobody(exchange)
        self.login.guard(exchange)
        return self._renew(exchange, session) if self.login.is_due(session) else self._admit(exchange, session)

    def _nobody(self, exchange: Exchange) -> Coroutine[Any, Any, Reply]:
        """Raises Unpresented for what is no page: a script can do nothing with a page to sign in."""
        if not navigates(exchange):
            raise self._admission.challenges.missing()
        return self.login.send_away(exchange)

    async def _renew(self, exchange: Exchange, session: Session) -> Any:
        try:
            fresh = await self.login.renewed(session)
            fields = self.login.fields(fresh)
        except (SignInFailed, TooLarge):  # the issuer has ended it
            return await self._nobody(exchange)
        exchange.note(self, fields)
        return self._admit(exchange, fresh)

    def after(self, exchange: Exchange, reply: Reply) -> None:
        """The browser gets its renewed session."""
        fields = None if exchange.notes is None else exchange.notes.get(self)
        if fields is not None:
            reply.headers.extend(fields)
            reply.set(b"Cache-Control", b"no-store")

    def _admit(self, exchange: Exchange, session: Session) -> Any:
        memo = exchange.head.memo
        kept = memo.get(self)
        if kept is None or kept[0] is not session:
            kept = memo[self] = session, self._verified(exchange, session)
        if session.access is not None:
            exchange.edits.drop |= {AUTHORIZATION}
            exchange.edits.add += headers.line(b"Authorization", b"Bearer " + session.access.encode())
        return self._admission.admit(exchange, kept[1])

    def _verified(self, exchange: Exchange, session: Session) -> Verified:
        claims = {**session.claims, "exp": session.ends}  # of the session: the ID token itself is long used up
        digest = self._hasher.digest(f"{claims.get('iss')} {claims.get('sub')} {claims.get('iat')}".encode())
        try:
            return self._admission.verified(claims, digest, -FOREVER, session.ends, 0)
        except InvalidToken as error:
            raise self._admission.challenges.invalid(exchange, error) from None


def _lasts(identity: Identity, now: float) -> bool:
    return bool(now < identity.claims["exp"])
