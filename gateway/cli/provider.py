"""The OpenID provider as `penstock login` uses it: discovery, the authorization code flow with PKCE on a loopback port
(RFC 8252, RFC 7636, RFC 9207), the device flow (RFC 8628), refresh and revocation (RFC 6749, RFC 7009).

The command line is a public client: what it has is what anybody could have. The gateway verifies the tokens; here they
are not looked into.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from gateway.cli import logins
from gateway.cli.failures import REFUSED, UNREACHABLE, Failed
from gateway.cli.logins import Login
from gateway.core.pkce import challenge

if TYPE_CHECKING:
    import httpx2

    from gateway.cli.loopback import Loopback

TIMEOUT: Final = 20.0  # seconds
AHEAD: Final = 30.0  # seconds before its end at which an access token is renewed
LASTS: Final = 300.0  # seconds of an access token of which the provider says nothing
DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
ENDED: Final = {"invalid_grant", "invalid_client", "unauthorized_client"}  # RFC 6749 section 5.2
AGAIN: Final = "Sign in again with: penstock login"
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
        _guarded(self.client.issuer, url)
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
            raise _denied(given)
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
        told = _post(self._endpoint("device_authorization_endpoint"), form)[1]
        try:
            page, code, device = (str(told[name]) for name in ("verification_uri", "user_code", "device_code"))
        except KeyError as missing:
            raise Failed(f"The identity provider's answer has no {missing.args[0]}: {_reason(told)}") from None
        whole = told.get("verification_uri_complete")
        show(page, code, whole if isinstance(whole, str) else None)
        interval = _seconds(told.get("interval"), 5.0)
        until = time.monotonic() + _seconds(told.get("expires_in"), 600.0)
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
        return _post(self._endpoint("token_endpoint"), form)

    def _redeem(self, form: Mapping[str, str]) -> dict[str, Any]:
        status, answer = self._ask_token(form)
        if status != 200:
            raise _denied(answer)
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
            ends=_ends(answer),
            refresh=refresh if isinstance(refresh, str) else None,
            revocation_endpoint=revocation if isinstance(revocation, str) else None,
            resource=self.client.resource,
        )


def fresh(url: str) -> str:
    """The access token of who signed in at a gateway; renewed before it ends."""
    login = logins.find(url)
    assert login is not None
    if time.time() < login.ends - AHEAD:
        return login.access
    try:
        return renewed(url, login.access) or login.access
    except Failed as failed:
        if failed.code == UNREACHABLE and time.time() < login.ends:  # it holds for some seconds yet
            return login.access
        raise


def renewed(url: str, old: str) -> str | None:
    """Another access token than `old`, which was not taken or is about to end; None where there is no way to one. Of
    commands at the same time one asks, and the others get what it got."""
    with logins.turn():
        login = logins.find(url)
        if login is None or login.refresh is None:
            return None
        if login.access != old:
            return login.access
        form = {"grant_type": "refresh_token", "refresh_token": login.refresh, "client_id": login.client_id}
        status, answer = _post(login.token_endpoint, form | ({"resource": login.resource} if login.resource else {}))
        if status != 200 and answer.get("error") in ENDED:
            logins.keep(url, None)
            raise Failed(f"Your sign-in at {url} has ended: {_reason(answer)}. {AGAIN}")
        access, refresh = answer.get("access_token"), answer.get("refresh_token")
        if status != 200 or not isinstance(access, str):  # it may give one later
            text = f"The identity provider {login.issuer} answers {status} ({_reason(answer)}): try again later."
            raise Failed(f"{text} If it stays so: penstock login", UNREACHABLE)
        kept = refresh if isinstance(refresh, str) else login.refresh
        logins.keep(url, replace(login, access=access, ends=_ends(answer), refresh=kept))
        return access


def revoke(login: Login) -> bool:
    """Whether the provider took it; what it does not offer, or cannot do now, ends by itself."""
    if login.revocation_endpoint is None:
        return False
    token = login.refresh or login.access
    try:
        _guarded(login.issuer, login.revocation_endpoint)
        status, _ = _post(login.revocation_endpoint, {"token": token, "client_id": login.client_id})
    except Failed:
        return False
    return status == 200


def _ends(answer: Mapping[str, Any]) -> float:
    return time.time() + _seconds(answer.get("expires_in"), LASTS)


def _seconds(told: object, otherwise: float) -> float:
    """A length of time that a provider tells."""
    if isinstance(told, int | float) and not isinstance(told, bool) and told > 0:
        return float(told)
    return otherwise


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
    raise Failed(LATE) if error == "expired_token" else _denied(answer)


def _metadata(issuer: str) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0 section 4."""
    _guarded(issuer, issuer)
    status, found = _send("GET", issuer.rstrip("/") + "/.well-known/openid-configuration", None)
    if status != 200 or found.get("issuer") != issuer:
        raise Failed(f"{issuer} does not answer as an OpenID provider of that name.", UNREACHABLE)
    return found


def _guarded(issuer: str, url: str) -> None:
    """No token or code leaves without TLS, but on this machine."""
    parts = urlsplit(url)
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"} and not issuer.startswith("https:")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise Failed(f"{url} is not https: nobody signs in there.")


def _post(url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    return _send("POST", url, form)


def _send(method: str, url: str, form: Mapping[str, str] | None) -> tuple[int, dict[str, Any]]:
    import httpx2

    try:
        answer = httpx2.request(method, url, data=form, headers={"Accept": "application/json"}, timeout=TIMEOUT)
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        host = urlsplit(url).netloc
        raise Failed(f"The identity provider {host} cannot be reached: {error}.", UNREACHABLE) from None
    return answer.status_code, _object(answer)


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(answer: Mapping[str, Any]) -> str:
    said = [str(answer[name]) for name in ("error", "error_description") if answer.get(name)]
    return "".join(letter for letter in ": ".join(said)[:300] if letter.isprintable()) or "it does not say why"


def _denied(answer: Mapping[str, Any]) -> Failed:
    return Failed(f"The identity provider refused: {_reason(answer)}. {AGAIN}", REFUSED)
