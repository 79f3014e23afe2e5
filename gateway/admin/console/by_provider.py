"""A way to sign in at the console: the authorization code flow with PKCE, state and nonce at the organisation's OpenID
provider (OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9207, RFC 9700).

An attempt belongs to the browser that began it: its state has to be in a cookie of it, which is SameSite=Lax, as the
provider's redirect comes from another site. What it is about (nonce, verifier, the page to go to) stays in this
process, is used once and forgotten. Who came back is proved by the ID token; roles stand in the access token where that
is made for this gateway, else in the ID token. Both end, and are renewed by the refresh token if there is one; without
one, the session ends with them.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.admin.console.gate import Gate, cookies
from gateway.admin.console.provider_attempts import ATTEMPT, Attempt, ProviderAttempts
from gateway.admin.console.provider_client import Client, ProviderClient
from gateway.admin.console.provider_people import ProviderPeople, Signed
from gateway.admin.console.signing_in import Begin
from gateway.admin.console.visit import BASE, local
from gateway.admin.people import People
from gateway.core.clock import Clock
from gateway.core.errors import Problem
from gateway.core.pkce import challenge
from gateway.relay.outside import DependencyFailed, Outside

log: Final = logging.getLogger("gateway.admin")

NAME: Final = "openid"


class NotSignedIn(Problem):
    status, title, code = 403, "Signing in did not succeed", "not_signed_in"


class ByProvider:
    """Of one control process."""

    def __init__(self, client: Client, people: People, gate: Gate, outside: Outside, clock: Clock) -> None:
        self._client = ProviderClient(client, outside, clock)
        self._people = ProviderPeople(self._client, people, clock)
        self._attempts = ProviderAttempts(clock)
        self._gate = gate

    async def answer(self, request: Request, begin: Begin) -> Response:
        if request.url.path.endswith("/back"):
            return await self._back(request, begin)
        return await self._away(request)

    # to the provider

    async def _away(self, request: Request) -> Response:
        client = self._client.client
        metadata = await (await self._client.issuer()).metadata.current()
        if metadata.authorization_endpoint is None:
            raise DependencyFailed("The identity provider's metadata names no authorization_endpoint.")
        state, attempt = self._attempts.begin(local(request.query_params.get("to", BASE)))
        query = client.form(
            response_type="code",
            client_id=client.id,
            redirect_uri=self._redirect(request),
            scope=" ".join(client.scopes),
            state=state,
            nonce=attempt.nonce,
            code_challenge=challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        url = metadata.authorization_endpoint
        answer = RedirectResponse(url + ("&" if "?" in url else "?") + urlencode(query), 303)
        answer.headers["Set-Cookie"] = self._cookie(request, state)
        return answer

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
        answer = begin(request, self._people.prover(signed), attempt.target, await self._leave())
        answer.headers.append("Set-Cookie", self._cookie(request, ""))
        log.info("%s signed in at the console", signed.token.name)
        return answer

    async def _signed(self, request: Request) -> tuple[Attempt, Signed]:
        from gateway.policy.tokens.sessions import SignInFailed

        given = _single(request)
        attempt = self._attempts.take(cookies(request).get(self._name(request), ""), given.get("state", ""))
        issuer = await self._client.issuer()
        metadata = await issuer.metadata.current()
        if given.get("iss", None if metadata.names_itself else metadata.issuer) != metadata.issuer:
            raise SignInFailed("another provider answered")
        if "code" not in given:
            raise SignInFailed(f"the provider answered {given.get('error', 'without a code')!r:.60}")
        form = self._client.client.form(
            grant_type="authorization_code",
            code=given["code"],
            redirect_uri=self._redirect(request),
            code_verifier=attempt.verifier,
        )
        told = await issuer.redeem(form)
        claims = await issuer.identify(told.get("id_token"), attempt.nonce)
        return attempt, await self._people.person(claims, told, None)

    async def _leave(self) -> str:
        """OpenID Connect RP-Initiated Logout 1.0 section 2."""
        url = (await (await self._client.issuer()).metadata.current()).end_session_endpoint
        if url is None:
            return ""
        return url + ("&" if "?" in url else "?") + urlencode({"client_id": self._client.client.id})


def _single(request: Request) -> dict[str, str]:
    """Parameters that stand there once (RFC 6749 section 3.1)."""
    from gateway.policy.tokens.sessions import SignInFailed

    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise SignInFailed("a parameter stands there twice")
    return dict(pairs)
