"""The tokens of who has signed in: renewed before they end (RFC 6749 section 6), and revoked (RFC 7009).

The gateway verifies them; here they are not looked into.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from gateway.cli import logins
from gateway.cli.failures import UNREACHABLE, Failed
from gateway.cli.logins import Login
from gateway.cli.provider_answers import AGAIN, ends, guarded, post, reason

AHEAD: Final = 30.0  # seconds before its end at which an access token is renewed
ENDED: Final = {"invalid_grant", "invalid_client", "unauthorized_client"}  # RFC 6749 section 5.2


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
        status, answer = post(login.token_endpoint, form | ({"resource": login.resource} if login.resource else {}))
        if status != 200 and answer.get("error") in ENDED:
            logins.keep(url, None)
            raise Failed(f"Your sign-in at {url} has ended: {reason(answer)}. {AGAIN}")
        access, refresh = answer.get("access_token"), answer.get("refresh_token")
        if status != 200 or not isinstance(access, str):  # it may give one later
            text = f"The identity provider {login.issuer} answers {status} ({reason(answer)}): try again later."
            raise Failed(f"{text} If it stays so: penstock login", UNREACHABLE)
        kept = refresh if isinstance(refresh, str) else login.refresh
        logins.keep(url, replace(login, access=access, ends=ends(answer), refresh=kept))
        return access


def revoke(login: Login) -> bool:
    """Whether the provider took it; what it does not offer, or cannot do now, ends by itself."""
    if login.revocation_endpoint is None:
        return False
    token = login.refresh or login.access
    try:
        guarded(login.issuer, login.revocation_endpoint)
        status, _ = post(login.revocation_endpoint, {"token": token, "client_id": login.client_id})
    except Failed:
        return False
    return status == 200
