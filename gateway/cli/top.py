"""`penstock top`: what a node serves right now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer

from gateway.cli import output, traffic
from gateway.cli.client import Admin, connect
from gateway.cli.options import Json, Token, Url

COLUMNS = ("version", "endpoint", "requests/s", "4xx", "5xx", "p50 ms", "p99 ms")


def top(
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=60)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, then the end.")] = False,
    sort: Annotated[Literal["requests", "failed", "p99"], typer.Option(help="What comes first.")] = "requests",
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Shows what the node serves right now: requests, refusals, failures and times by endpoint. Ctrl-C ends it.

    Example: penstock top --once
    """
    looks = _looks(connect(url, token), interval, once, sort)
    if as_json:
        for look in looks:
            output.as_json(look)
    elif once or not output.out.is_terminal:
        for look in looks:
            output.out.print(_table(look))
    else:
        _live(looks)


def _looks(admin: Admin, interval: float, once: bool, sort: str) -> Iterator[dict[str, Any]]:
    before = traffic.read(admin.get("/metrics"), time.monotonic())
    while True:
        time.sleep(interval)
        after = traffic.read(admin.get("/metrics"), time.monotonic())
        yield {"node": traffic.node(before, after), "items": traffic.by(traffic.rows(before, after), sort)}
        before = after
        if once:
            return


def _live(looks: Iterator[dict[str, Any]]) -> None:
    from rich.live import Live

    with Live(console=output.out, screen=True, auto_refresh=False) as live, contextlib.suppress(KeyboardInterrupt):
        for look in looks:
            live.update(_table(look), refresh=True)


def _table(look: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    node = look["node"]
    told = f"{node['requests']:g} requests/s   {node['in_flight']:g} in flight   {node['connections']:g} connections"
    told += f"   lag {node['loop_lag_seconds'] * 1000:.0f} ms" + (f"   {node['shed']:g}/s shed" if node["shed"] else "")
    table = Table(title=Text(told), title_justify="left", box=box.SIMPLE_HEAD, caption_justify="left", pad_edge=False)
    for number, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if number < 2 else "right", overflow="fold")
    for each in look["items"]:
        style = "red" if each["failed"] else "yellow" if each["refused"] > 0.5 else ""
        table.add_row(*_cells(each), style=style)
    if not look["items"]:
        table.caption = Text("Nobody calls.")
    return table


def _cells(each: dict[str, Any]) -> list[str]:
    shares = [f"{each[name]:.1%}" if each[name] else "" for name in ("refused", "failed")]
    times = ["" if each[name] is None else f"{each[name]:g}" for name in ("p50_ms", "p99_ms")]
    return [each["version"], each["endpoint"], f"{each['requests']:g}", *shares, *times]
