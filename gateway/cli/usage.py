"""`penstock usage`: what each application called, from real requests."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.client import connect
from gateway.cli.failures import USAGE, Failed
from gateway.cli.options import Json, Token, Url

EACH = ("total", "day", "hour")
COUNTS = ("calls", "refused", "failed", "received", "sent")


def add(app: typer.Typer) -> None:
    app.command()(usage)


def usage(
    name: Annotated[str | None, typer.Argument(help="NAME or NAME@VERSION; without it all of them.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="The first day in UTC; default: a week ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day; default: today.")] = None,
    each: Annotated[str, typer.Option("--each", help="total, day or hour.")] = "total",
    app: Annotated[str | None, typer.Option("--app", help="Of this application alone.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists what each application called: calls, refused (4xx) and failed (5xx) ones, bytes of bodies.

    Example: penstock usage shop --each day --app partner
    """
    if each not in EACH:
        raise Failed(f"--each is one of {', '.join(EACH)}.", USAGE)
    component, _, version = (name or "").partition("@")
    query = {"from": first, "to": last, "each": each, "component": component or None, "version": version or None}
    told = connect(url, token).get("/usage", **query, application=app)
    if as_json:
        output.as_json(told)
        return
    rows = [row | {"application": row["application"] or "(none known)"} for row in told["items"]]
    rows.sort(key=lambda row: (row["bucket"] or "", -row["calls"]))
    columns = ["component", "version", "application", *COUNTS]
    output.table(rows, columns if each == "total" else ["bucket", *columns], "Nobody called anything in that time.")
