"""`login`, `logout`, `whoami`: people at the gateway, by their organisation's identity provider."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from gateway.cli import logins, output
from gateway.cli.client import Admin, connect, where
from gateway.cli.failures import REFUSED, Failed
from gateway.cli.logins import Login
from gateway.cli.loopback import Loopback
from gateway.cli.options import Json, Token, Url
from gateway.cli.provider import Client, Provider
from gateway.cli.renewing import revoke


def add(app: typer.Typer) -> None:
    app.command()(login)
    app.command()(logout)
    app.command()(whoami)


def login(
    device: Annotated[bool, typer.Option("--device", help="By a code that is typed on any machine.")] = False,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Signs you in by your organisation's identity provider, for this and later commands.

    Example: penstock login
    """
    chosen = where(url)
    provider = Provider(_client(chosen))
    if device:
        found = provider.by_device(_show_code, time.sleep)
    else:
        with Loopback() as loopback:
            found = provider.by_browser(loopback, lambda page: _show_page(page, browser))
    who = _taken(chosen, found)
    with logins.turn():
        logins.keep(chosen, found)
    if as_json:
        output.as_json(who)
    else:
        output.good(f"You are {who['name']} at {chosen}: {', '.join(who['roles'])}{_of(who)}.")
    if os.environ.get("PENSTOCK_TOKEN"):
        output.note("PENSTOCK_TOKEN is set, and goes first: commands use it, and not this sign-in, until it is unset.")


def logout(url: Url = None, as_json: Json = False) -> None:
    """Signs you out: the tokens are forgotten here, and revoked at the provider.

    Example: penstock logout
    """
    chosen = where(url)
    with logins.turn():
        found = logins.find(chosen)
        logins.keep(chosen, None)
    revoked = found is not None and revoke(found)
    if as_json:
        output.as_json({"url": chosen, "signed_out": found is not None, "revoked": revoked})
    elif found is None:
        output.note(f"Nobody was signed in at {chosen}.")
    else:
        rest = "" if revoked else " The provider did not revoke them: they end by themselves."
        output.good(f"Signed out at {chosen}; the tokens are forgotten.{rest}")


def whoami(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Tells who you are at the gateway, with roles and where the credential comes from.

    Example: penstock whoami
    """
    admin = connect(url, token)
    who: dict[str, Any] = admin.get("/whoami") | {"url": admin.url, "credential": _source(admin.url, token)}
    if as_json:
        output.as_json(who)
        return
    ends = "" if who["ends"] is None else f" until {datetime.fromtimestamp(who['ends'], UTC):%Y-%m-%d %H:%M:%S}Z"
    output.out.print(output.shown(f"{who['name']} at {who['url']}, by {who['credential']}{ends}"))
    output.out.print(output.shown(f"roles: {', '.join(who['roles'])}{_of(who)}"))


def _of(who: dict[str, Any]) -> str:
    return "" if who["components"] is None else f", of {', '.join(who['components']) or 'no component'}"


def _source(url: str, token: str | None) -> str:
    if token:
        return "--token"
    if os.environ.get("PENSTOCK_TOKEN"):
        return "PENSTOCK_TOKEN"
    return "penstock login" if logins.find(url) is not None else "the context file"


def _taken(url: str, found: Login) -> dict[str, Any]:
    """Who it is at the gateway. Of what it does not take nothing is kept, here or at the provider."""
    try:
        who: dict[str, Any] = Admin(url, found.access).get("/whoami")
    except Failed as failed:
        revoke(found)
        if failed.problem.get("status") != 401:
            raise
        raise Failed(
            f"{found.issuer} has signed you in, but {url} does not take its access token: its log tells why. It has "
            "to be made for the gateway (`aud`: the setting admin_oidc_audience). Where the provider makes such ones "
            "only when it is asked for a resource, the setting admin_oidc_resource names it.",
            REFUSED,
            failed.problem,
        ) from None
    return who


def _client(url: str) -> Client:
    told = Admin(url, "").get("/sign-in")["openid"]
    if told is None:
        raise Failed(
            f"{url} signs nobody in: its settings name no provider with a client for this (admin_oidc_issuer, "
            "admin_oidc_cli_client_id). Use an admin token: --token or PENSTOCK_TOKEN."
        )
    return Client(told["issuer"], told["client_id"], tuple(told["scopes"]), told["resource"])


def _show_page(page: str, browser: bool) -> None:
    output.note("Sign in on this page; it comes back to this command:")
    output.told(page)
    if browser and not _headless():
        webbrowser.open(page)


def _headless() -> bool:
    """Without a screen a browser would take this terminal."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform.startswith("linux") and not screen


def _show_code(page: str, code: str, whole: str | None) -> None:
    output.note(f"On any machine, open {page} and type the code")
    output.told(code)
    if whole is not None:
        output.note(f"or open {whole}")
