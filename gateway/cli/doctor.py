"""`penstock doctor`: whether a gateway and what is around it are well, and the way out where they are not."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from gateway.cli import output
from gateway.cli.client import CONTEXT, Admin, connect
from gateway.cli.finding import Found
from gateway.cli.findings import ENDING, Told, examine
from gateway.cli.options import Json, Token, Url

SIGNS = {"ok": ("✓", "green"), "told": ("·", "cyan"), "warn": ("!", "yellow"), "bad": ("✗", "red")}


def doctor(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Looks at a gateway, its store, nodes, clock, keys and versions, and says what to do; exit 1 if something is bad.

    Example: penstock doctor
    """
    found = examine(ask(connect(url, token)))
    if as_json:
        output.as_json({"items": [_item(each) for each in found]})
    else:
        for each in found:
            _print(each)
    raise typer.Exit(1 if any(each.state == "bad" for each in found) else 0)


def ask(admin: Admin) -> Told:
    asked = time.time()
    health = admin.get("/health")
    heard = time.time()
    nodes, now = admin.get("/nodes")["items"], datetime.now(UTC)  # before long lists: heartbeats grow old
    context = Path(os.environ.get("PENSTOCK_CONTEXT", str(CONTEXT)))
    return Told(
        url=admin.url,
        health=health,
        nodes=nodes,
        versions=admin.get("/versions")["items"],
        servers=admin.get("/store")["items"] if health.get("store") == "up" else None,
        open_endpoints=admin.get("/open-endpoints")["items"],
        runtimes=admin.get("/runtimes")["items"],
        processes=admin.get("/processes")["items"],
        environments=admin.get("/environments")["items"],
        ending=admin.get("/keys", expiring=ENDING)["items"],
        metrics=admin.get("/metrics"),
        skew=float(health.get("at", asked)) - (asked + heard) / 2,
        now=now,
        context=context if context.exists() else None,
    )


def _item(found: Found) -> dict[str, Any]:
    return {"check": found.what, "state": found.state, "seen": found.seen, "way_out": found.out}


def _print(found: Found) -> None:
    sign, style = SIGNS[found.state]
    output.out.print(output.shown(f"{sign} {found.what}: {found.seen}", style))
    if found.out:
        output.out.print(output.shown(f"    {found.out}", "dim"))
