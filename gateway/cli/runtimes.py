"""Commands about where processes run: the runtimes of a node, and the operations of what is live."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from gateway.cli import completing, output
from gateway.cli.client import connect
from gateway.cli.options import Json, Token, Url


def add(app: typer.Typer) -> None:
    app.command()(runtimes)
    app.command()(processes)


def runtimes(
    name: Annotated[str | None, typer.Argument(help="One runtime alone.", autocompletion=completing.runtimes)] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists the runtimes that the node may call and how each node reaches them; of one, what its processes host.

    Example: penstock runtimes
    """
    admin = connect(url, token)
    told = admin.get(f"/runtimes/{name}") if name else admin.get("/runtimes")
    if as_json:
        output.as_json(told)
        return
    rows = [_row(each) for each in ([told] if name else told["items"])]
    empty = "This node has no runtimes: penstock serve --runtimes NAME=HOST:PORT."
    output.table(rows, ["name", "place", "connected", "nodes", "trouble"], empty)
    if name:
        hosted = [row for each in told["processes"] for row in _hosted(each)]
        output.table(hosted, ["runtime", "since", "process", "effect", "digest", "summary"], "None is connected.")


def _row(each: Mapping[str, Any]) -> dict[str, Any]:
    nodes = [f"{one['node']} {one['connected']}" for one in each["nodes"]]
    return {**each, "nodes": nodes, "trouble": each["trouble"] or "-"}


def _hosted(process: Mapping[str, Any]) -> list[dict[str, Any]]:
    since = datetime.fromtimestamp(process["started"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    state = " (draining)" if process["draining"] else ""
    about = {"runtime": f"{process['runtime']}{state}", "since": since}
    return [{**about, **each, "digest": each["digest"][:12]} for each in process["hosts"]]


def processes(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Lists the operations of live versions that are processes, and where their code runs.

    Example: penstock processes
    """
    told = connect(url, token).get("/processes")
    if as_json:
        output.as_json(told)
        return
    rows = [{**each, "digest": each["digest"][:12], "at": each["at"] or "-"} for each in told["items"]]
    columns = ["version", "operation", "process", "digest", "code", "at", "why"]
    output.table(rows, columns, "No operation of what is live is a process.")
