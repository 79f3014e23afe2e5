"""Commands about what was: revisions of a policy and the way back, activations of a version, environments of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from gateway.cli import completing, differing, output
from gateway.cli.client import connect
from gateway.cli.documents import said
from gateway.cli.options import Json, Token, Url

Policy = Annotated[str, typer.Argument(help="A named policy.", autocompletion=completing.policies)]
Number = Annotated[int, typer.Argument(help="Number of a revision.", min=1)]


def add(app: typer.Typer) -> None:
    app.command()(activations)
    app.command()(environments)


def revisions(name: Policy, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Lists who applied which revision of a policy when, the oldest first. Example: penstock policies revisions NAME"""
    told = connect(url, token).get(f"/policies/{name}/revisions")
    if as_json:
        output.as_json(told)
    else:
        output.table(told["items"], ["revision", "current", "at", "actor", "restores"], "No revisions.")


def diff(
    name: Policy, first: Number, second: Number, url: Url = None, token: Token = None, as_json: Json = False
) -> None:
    """Shows what differs between two revisions of a policy. Example: penstock policies diff NAME 1 2"""
    told = connect(url, token).get(f"/policies/{name}/diff", **{"from": first, "to": second})
    output.as_json(told) if as_json else differing.differences(told["items"])


def rollback(
    name: Policy,
    to: Annotated[int | None, typer.Option("--to", help="A revision; default: the one before.", min=1)] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Makes an earlier revision's steps the newest one. Example: penstock policies rollback NAME --to 1"""
    told = connect(url, token).post(f"/policies/{name}/rollback", {} if to is None else {"to": to})
    if as_json:
        output.as_json(told)
        return
    output.out.print(f"{name}: revision {told['from']} → {told['to']}")
    output.touched(told["touched"])
    said(told)


def activations(
    name: Annotated[
        str | None, typer.Argument(help="NAME@VERSION; default: all.", autocompletion=completing.versions)
    ] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists which revision was active since when, and by whom, the oldest first.

    Example: penstock activations shop@v2
    """
    admin = connect(url, token)
    names = [name] if name else [each["name"] for each in admin.get("/versions")["items"]]
    found = [{"name": each, **item} for each in names for item in admin.get(f"/versions/{each}/activations")["items"]]
    found.sort(key=lambda each: each["since"])
    if as_json:
        output.as_json({"items": found})
    else:
        output.table(found, ["name", "revision", "since", "actor", "active"], "Nothing was ever active.")


def environments(
    node: Annotated[str | None, typer.Argument(help="One node alone.", autocompletion=completing.nodes)] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists which values and secrets each node has, lacks, or has and no document names: names alone.

    Example: penstock environments
    """
    admin = connect(url, token)
    told = admin.get(f"/environments/{node}") if node else admin.get("/environments")
    if as_json:
        output.as_json(told)
        return
    rows = [row for each in ([told] if node else told["items"]) for row in _rows(each)]
    output.table(rows, ["node", "what", "known", "missing", "unused"], "No node is alive.")


def _rows(told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for what in ("values", "secrets"):
        yield {"node": told["node"], "what": what, **told[what]}
