"""The group `signing-keys`: of the gateway's own issuer of tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.client import connect
from gateway.cli.options import Json, Token, Url
from gateway.cli.tasks import Tasks

group = typer.Typer(cls=Tasks, help="Keys that sign the tokens of the gateway's own issuer.", no_args_is_help=True)


@group.command("list")
def list_keys(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Lists them, the oldest first. Example: penstock signing-keys list"""
    told = connect(url, token).get("/signing-keys")
    if as_json:
        output.as_json(told)
    else:
        columns = ["kid", "algorithm", "state", "created", "starts", "ends"]
        rows = [each | {"starts": each["signs"]} for each in told["items"]]
        output.table(rows, columns, "No keys: this gateway issues no tokens.")


@group.command("rotate")
def rotate(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Publishes another key, which signs later.

    Example: penstock signing-keys rotate
    """
    told = connect(url, token).post("/signing-keys/rotate")
    if as_json:
        output.as_json(told)
    else:
        output.good(f"The key {told['kid']} is published, and signs soon: penstock signing-keys list tells when.")


@group.command("retire")
def retire(
    kid: Annotated[str, typer.Argument(help="The key's id.")],
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Ends a key at once, with all tokens that it signed. Example: penstock signing-keys retire 1-0a1b2c3d4e5f6071"""
    told = connect(url, token).post(f"/signing-keys/{kid}/retire")
    if as_json:
        output.as_json(told)
    else:
        successor = f" {told['successor']} signs from now on." if told["successor"] else ""
        output.good(f"The key {kid} is retired.{successor}")
