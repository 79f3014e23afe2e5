"""Commands that look: explain, nodes, health, doctor, top, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import doctor, output, top
from gateway.cli.client import connect
from gateway.cli.failures import USAGE, Failed
from gateway.cli.options import Json, Token, Url


def add(app: typer.Typer) -> None:
    for command in (explain, nodes, health, doctor.doctor, top.top, audit):
        app.command()(command)


def explain(
    method: str,
    target: Annotated[str, typer.Argument(metavar="URL")],
    header: Annotated[list[str] | None, typer.Option("-H", "--header", help="Name: value")] = None,
    plan: Annotated[str | None, typer.Option("--plan", help="As a caller on this plan meets it.")] = None,
    files: Annotated[list[Path] | None, typer.Option("--files", help="Explain these documents, offline.")] = None,
    processes: Annotated[list[str] | None, typer.Option("--processes", help="Package of the processes.")] = None,
    environment: Annotated[Path | None, typer.Option("--environment", exists=True)] = None,
    application: Annotated[str | None, typer.Option("--application", help="Who calls: its pin, its canary.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Says what would happen to a request: candidates, version, every step, the backend.

    Example: penstock explain GET /shop/v2/orders/7
    """
    headers = dict(_header(each) for each in header or [])
    if files:
        from gateway.cli import offline

        told = offline.explained(files, processes or [], environment, method, target, headers, plan)
    else:
        body = {"method": method, "url": target, "headers": headers, "plan": plan, "application": application}
        told = connect(url, token).post("/explain", body)
    output.as_json(told) if as_json else output.explanation(told)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise Failed(f"-H {text!r} is no header. Write it as 'Name: value'.", USAGE)
    return name.strip(), value.strip()


def nodes(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Lists the nodes that are alive, and what each serves.

    Example: penstock nodes
    """
    told = connect(url, token).get("/nodes")
    if as_json:
        output.as_json(told)
    else:
        output.table(
            told["items"],
            ["name", "url", "workers", "serving", "snapshot", "error", "problems", "at"],
            "No node is alive.",
        )


def health(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Tells whether the gateway is ready; exit 1 if it is not.

    Example: penstock health
    """
    told = connect(url, token).get("/health")
    output.as_json(told) if as_json else output.fields(told)
    raise typer.Exit(0 if told["ready"] else 1)


def audit(
    limit: Annotated[int, typer.Option(help="How many entries.", min=1, max=1000)] = 30,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists who changed what, newest first.

    Example: penstock audit --limit 10
    """
    told = connect(url, token).get("/audit", limit=limit)
    if as_json:
        output.as_json(told)
    else:
        output.table(told["items"], ["at", "actor", "action", "subject", "outcome", "sequence"], "Nothing yet.")
