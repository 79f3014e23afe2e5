"""The group `credentials`: what applications show other than API keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from gateway.cli import completing, output
from gateway.cli.client import connect
from gateway.cli.failures import USAGE, Failed
from gateway.cli.options import Json, Token, Url
from gateway.cli.tasks import Tasks

credentials = typer.Typer(
    cls=Tasks,
    help="Passwords, HMAC secrets, public keys, certificates and OAuth clients of applications.",
    no_args_is_help=True,
)

Pem = Annotated[Path | None, typer.Option("--public-key", help="public-key: a file with it as PEM.")]
Jwk = Annotated[Path | None, typer.Option("--jwk", help="public-key: a file with it as JWK.")]
Certificate = Annotated[Path | None, typer.Option("--certificate", help="certificate: a file with it as PEM.")]
Fingerprint = Annotated[str | None, typer.Option("--fingerprint", help="certificate: its SHA-256 in hexadecimal.")]
Jwks = Annotated[Path | None, typer.Option("--jwks", help="oauth-client: a file with its public keys, as JWKS.")]
Chosen = Annotated[
    bool, typer.Option("--chosen", help="basic, hmac: reads a chosen secret from standard input, one line.")
]
ClientSecret = Annotated[
    bool | None, typer.Option("--client-secret/--no-client-secret", help="oauth-client: default: unless it has --jwks.")
]


def groups() -> Iterator[tuple[str, typer.Typer]]:
    yield "credentials", credentials


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{path} cannot be read: {error}.", USAGE) from None


def _object(path: Path) -> Any:
    try:
        return orjson.loads(_text(path))
    except orjson.JSONDecodeError as error:
        raise Failed(f"{path} is no JSON: {error}.", USAGE) from None


def _line() -> str:
    """A secret never stands in an argument: others see those."""
    return sys.stdin.readline().rstrip("\r\n")


def _made_of(
    public_key: Path | None,
    jwk: Path | None,
    certificate: Path | None,
    fingerprint: str | None,
    jwks: Path | None,
    client_secret: bool | None,
) -> dict[str, Any]:
    found = {
        "public_key": public_key and _text(public_key),
        "jwk": jwk and _object(jwk),
        "certificate": certificate and _text(certificate),
        "fingerprint": fingerprint,
        "jwks": jwks and _object(jwks),
        "client_secret": client_secret,
    }
    return {name: value for name, value in found.items() if value is not None}


def _shown_once(told: dict[str, Any], as_json: bool) -> None:
    """The secret alone on standard output, so that it can be piped."""
    if as_json:
        output.as_json(told)
        return
    if told["secret"] is not None:
        output.out.print(told["secret"], soft_wrap=True)
    output.err.print(f"Credential {told['id']} of type {told['type']}, name {told['name']}.", style="dim")
    if told["secret"] is not None:
        output.err.print("Its secret is not shown again: keep it now.", style="dim")


@credentials.command("create")
def create_credential(
    type: Annotated[str, typer.Argument(help="basic, hmac, public-key, certificate or oauth-client.")],
    app: Annotated[str, typer.Option("--app", help="The application.", autocompletion=completing.applications)],
    name: Annotated[
        str | None, typer.Option("--name", help="User name, key id or client id; default: a random one.")
    ] = None,
    api: Annotated[
        str | None, typer.Option("--api", help="The API that it opens; default: all of the application's.")
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", help="The plan of a new subscription.", autocompletion=completing.plans)
    ] = None,
    starts: Annotated[str | None, typer.Option(help="Date or time from which it holds.")] = None,
    ends: Annotated[str | None, typer.Option(help="Date or time at which it ends.")] = None,
    scope: Annotated[list[str] | None, typer.Option("--scope", help="A scope that it may get; repeat it.")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="A role of who shows it; repeat it.")] = None,
    subject: Annotated[str | None, typer.Option(help="certificate: for whom (RFC 4514), with --issuer.")] = None,
    issuer: Annotated[str | None, typer.Option(help="certificate: by whom it is issued.")] = None,
    public_key: Pem = None,
    jwk: Jwk = None,
    certificate: Certificate = None,
    fingerprint: Fingerprint = None,
    jwks: Jwks = None,
    client_secret: ClientSecret = None,
    chosen: Chosen = False,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Creates a credential; its secret is shown once.

    Example: penstock credentials create basic --app partner --api shop --name partner-web
    """
    about = {"type": type, "application": app, "name": name, "api": api, "plan": plan, "starts": starts, "ends": ends}
    body = about | {"scopes": scope or None, "roles": role or None, "subject": subject, "issuer": issuer}
    body |= _made_of(public_key, jwk, certificate, fingerprint, jwks, client_secret) | _chosen(type, chosen)
    _shown_once(connect(url, token).post("/credentials", body), as_json)


def _chosen(type: str, chosen: bool) -> dict[str, str]:
    return {"password" if type == "basic" else "secret": _line()} if chosen else {}


@credentials.command("list")
def list_credentials(
    app: Annotated[str | None, typer.Option("--app", autocompletion=completing.applications)] = None,
    api: Annotated[str | None, typer.Option("--api")] = None,
    type: Annotated[str | None, typer.Option("--type")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists credentials, without their secrets. Example: penstock credentials list --app partner"""
    told = connect(url, token).get("/credentials", application=app, api=api, type=type)
    if as_json:
        output.as_json(told)
    else:
        columns = ["id", "type", "name", "application", "api", "plan", "starts", "ends", "revoked"]
        empty = "No credentials yet. Create one: penstock credentials create TYPE --app NAME"
        output.table(told["items"], columns, empty)


@credentials.command("show")
def show_credential(id: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Shows a credential, without its secret. Example: penstock credentials show ID"""
    told = connect(url, token).get(f"/credentials/{id}")
    output.as_json(told) if as_json else output.fields(told)


@credentials.command("rotate")
def rotate_credential(
    id: str,
    overlap: Annotated[int, typer.Option(help="Seconds for which the old one goes on.", min=0)] = 86_400,
    ends: Annotated[str | None, typer.Option(help="Date or time at which it ends.")] = None,
    public_key: Pem = None,
    jwk: Jwk = None,
    certificate: Certificate = None,
    fingerprint: Fingerprint = None,
    jwks: Jwks = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Gives it a new secret or key; both hold during the overlap.

    Example: penstock credentials rotate ID --overlap 3600
    """
    body = {"overlap": overlap, "ends": ends}
    body |= _made_of(public_key, jwk, certificate, fingerprint, jwks, None)
    _shown_once(connect(url, token).post(f"/credentials/{id}/rotate", body), as_json)


@credentials.command("revoke")
def revoke_credential(id: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Ends a credential at once, on every node. Example: penstock credentials revoke ID"""
    told = connect(url, token).delete(f"/credentials/{id}")
    output.as_json(told) if as_json else output.good(f"{id} is revoked.")
