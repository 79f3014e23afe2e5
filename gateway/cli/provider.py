"""Signing in at an OpenID provider as `penstock login` does: discovery, the authorization code flow with PKCE on a
loopback port (RFC 8252, RFC 7636, RFC 9207), and the device flow (RFC 8628)."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from gateway.cli.failures import UNREACHABLE, Failed
from gateway.cli.logins import Login
from gateway.cli.provider_answers import AGAIN, denied, ends, guarded, post, reason, seconds, send
from gateway.core.pkce import challenge

if TYPE_CHECKING:
    from gateway.cli.loopback import Loopback

DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
LATE: Final = "Nobody typed the code in time. Begin again with: penstock login --device"
SLOWEST: Final = 60.0  # seconds between two questions


@dataclass(frozen=True)
class Client:
    """What the gateway told of its provider. `resource`: of RFC 8707."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    resource: str | None = None

    def form(self, **more: str) -> dict[str, str]:
        return {"client_id": self.client_id, **more} | ({} if self.resource is None else {"resource": self.resource})


class Provider:
    """Of one sign-in. Raises Failed."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.metadata = _metadata(client.issuer)

    def _endpoint(self, name: str) -> str:
        url = self.metadata.get(name)
        if not isinstance(url, str):
            raise Failed(f"The identity provider {self.client.issuer} offers no {name}.")
        guarded(self.client.issuer, url)
        return url

    # by a browser on this machine

    def by_browser(self, loopback: Loopback, show: Callable[[str], None]) -> Login:
        """`show` gets the URL that a person opens."""
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        query = self.client.form(
            response_type="code",
            redirect_uri=loopback.url,
            scope=" ".join(self.client.scopes),
            state=state,
            code_challenge=challenge(verifier),
            code_challenge_method="S256",
        )
        url = self._endpoint("authorization_endpoint")
        show(url + ("&" if "?" in url else "?") + urlencode(query))
        given = loopback.wait(lambda found: hmac.compare_digest(found.get("state", "").encode(), state.encode()))
        self._check_issuer(given)
        if "code" not in given:
            raise denied(given)
        form = self.client.form(
            grant_type="authorization_code",
            code=given["code"],
            redirect_uri=loopback.url,
            code_verifier=verifier,
        )
        return self._login(self._redeem(form))

    def _check_issuer(self, given: Mapping[str, str]) -> None:
        """RFC 9207: against an answer of another provider that was mixed in."""
        says = self.metadata.get("authorization_response_iss_parameter_supported") is True
        if given.get("iss", None if says else self.client.issuer) != self.client.issuer:
            raise Failed(f"Another provider than {self.client.issuer} answered. {AGAIN}")

    # by a browser anywhere

    def by_device(self, show: Callable[[str, str, str | None], None], sleep: Callable[[float], None]) -> Login:
        """`show` gets the page, the code to type there, and the page with the code in it, if there is one."""
        form = self.client.form(scope=" ".join(self.client.scopes))
        told = post(self._endpoint("device_authorization_endpoint"), form)[1]
        try:
            page, code, device = (str(told[name]) for name in ("verification_uri", "user_code", "device_code"))
        except KeyError as missing:
            raise Failed(f"The identity provider's answer has no {missing.args[0]}: {reason(told)}") from None
        whole = told.get("verification_uri_complete")
        show(page, code, whole if isinstance(whole, str) else None)
        interval = seconds(told.get("interval"), 5.0)
        until = time.monotonic() + seconds(told.get("expires_in"), 600.0)
        while time.monotonic() < until:
            sleep(interval)
            status, answer = self._poll(self.client.form(grant_type=DEVICE, device_code=device))
            if status == 200:
                return self._login(answer)
            interval = _next(interval, status, answer)
        raise Failed(LATE)

    def _poll(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """As an answer 503 where there is none: the person may be typing meanwhile."""
        try:
            return self._ask_token(form)
        except Failed as failed:
            if failed.code != UNREACHABLE:
                raise
            return 503, {}

    # tokens

    def _ask_token(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        return post(self._endpoint("token_endpoint"), form)

    def _redeem(self, form: Mapping[str, str]) -> dict[str, Any]:
        status, answer = self._ask_token(form)
        if status != 200:
            raise denied(answer)
        return answer

    def _login(self, answer: Mapping[str, Any]) -> Login:
        access, refresh = answer.get("access_token"), answer.get("refresh_token")
        if not isinstance(access, str):
            raise Failed("The identity provider gave no access token.")
        revocation = self.metadata.get("revocation_endpoint")
        return Login(
            issuer=self.client.issuer,
            client_id=self.client.client_id,
            token_endpoint=self._endpoint("token_endpoint"),
            access=access,
            ends=ends(answer),
            refresh=refresh if isinstance(refresh, str) else None,
            revocation_endpoint=revocation if isinstance(revocation, str) else None,
            resource=self.client.resource,
        )


def _next(interval: float, status: int, answer: Mapping[str, Any]) -> float:
    """When to ask again (RFC 8628 section 3.5): slower where the provider says so, or does not answer well. Raises
    Failed where there is nothing to wait for."""
    error = answer.get("error")
    if error == "slow_down":
        return interval + 5
    if error == "authorization_pending":
        return interval
    if status >= 500 or status == 429:
        return min(2 * interval, max(interval, SLOWEST))
    raise Failed(LATE) if error == "expired_token" else denied(answer)


def _metadata(issuer: str) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0 section 4."""
    guarded(issuer, issuer)
    status, found = send("GET", issuer.rstrip("/") + "/.well-known/openid-configuration", None)
    if status != 200 or found.get("issuer") != issuer:
        raise Failed(f"{issuer} does not answer as an OpenID provider of that name.", UNREACHABLE)
    return found
