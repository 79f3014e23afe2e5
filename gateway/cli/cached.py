"""`penstock cache`: what the caches of policies have stored."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.client import connect
from gateway.cli.failures import USAGE, Failed
from gateway.cli.options import Json, Token, Url
from gateway.cli.tasks import Tasks

group = typer.Typer(cls=Tasks, help="What the caches have stored.", no_args_is_help=True)


@group.callback()
def _root() -> None:
    """Keeps `purge` a command of its own."""


@group.command()
def purge(
    tag: Annotated[str | None, typer.Option("--tag", help="What has this tag.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="Everything of a version, such as shop@v2.")] = None,
    path: Annotated[str | None, typer.Option("--path", help="A URL or its path, with every query.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Drops stored responses on all nodes: by tag, version or path. Example: penstock cache purge --tag orders"""
    chosen = {name: value for name, value in (("tag", tag), ("version", version), ("url", path)) if value is not None}
    if len(chosen) != 1:
        raise Failed("Name one of --tag, --version and --path.", USAGE)
    told = connect(url, token).post("/cache/purge", chosen)
    if as_json:
        output.as_json(told)
    else:
        output.good(f"{told['purged']} stored {'response is' if told['purged'] == 1 else 'responses are'} dropped.")
