"""`penstock top`: what is served right now."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import typer

from gateway.cli import output, traffic
from gateway.cli.client import Admin, connect
from gateway.cli.failures import UNREACHABLE, Failed
from gateway.cli.options import Json, Token

FIGURES: Final = ("requests/s", "4xx", "5xx", "p50 ms", "p99 ms")
Wait = Callable[[float], bool]  # so many seconds; True: somebody wants the end
By = Literal["endpoint", "version", "application", "upstream", "lane", "node"]
Url = Annotated[list[str] | None, typer.Option("--url", help="Admin URL of a node; several: their sum. See --by node.")]


def top(
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=60)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, then the end.")] = False,
    by: Annotated[By, typer.Option("--by", help="What a line is.")] = "endpoint",
    sort: Annotated[Literal["requests", "failed", "p99"], typer.Option(help="What comes first.")] = "requests",
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Shows what is served right now: requests, refusals, failures and times, by endpoint or otherwise. `q` ends it.

    Example: penstock top --once --by version
    """
    named: Sequence[str | None] = url or (None,)
    nodes = Nodes([connect(each, token) for each in named], by)
    if as_json:
        for look in _looks(nodes, interval, once, sort, _sleep):
            output.as_json(look)
    elif once or not output.out.is_terminal:
        for look in _looks(nodes, interval, once, sort, _sleep):
            output.out.print(_table(look, by))
    else:
        _live(nodes, interval, sort)


@dataclass
class Nodes:
    """The nodes that are asked. One that does not answer is told, and left out until it does; a first look at it has
    nothing to be compared with, and so counts for nothing."""

    admins: list[Admin]
    by: str
    silent: dict[str, str] = field(default_factory=dict)
    _last: dict[str, traffic.Reading] = field(default_factory=dict)

    def look(self) -> tuple[traffic.Reading, traffic.Reading]:
        """Before and after, of the nodes that answered both times. Failed when none answers."""
        before, after = [], []
        for admin in self.admins:
            try:
                found = traffic.read(admin.get("/metrics"), time.monotonic(), self.by, admin.url)
            except Failed as failed:
                if failed.code != UNREACHABLE:
                    raise
                self.silent[admin.url] = str(failed)
                self._last.pop(admin.url, None)
                continue
            self.silent.pop(admin.url, None)
            if (last := self._last.get(admin.url)) is not None:
                before.append(last)
                after.append(found)
            self._last[admin.url] = found
        if not self._last:
            raise Failed(next(iter(self.silent.values())), UNREACHABLE)
        now = time.monotonic()
        return traffic.together(before, min((each.at for each in before), default=now)), traffic.together(after, now)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _looks(nodes: Nodes, interval: float, once: bool, sort: str, wait: Wait) -> Iterator[dict[str, Any]]:
    nodes.look()
    while not wait(interval):
        before, after = nodes.look()
        rows = traffic.by(traffic.rows(before, after, nodes.by), sort)
        yield {"node": traffic.node(before, after), "items": rows, "silent": list(nodes.silent)}
        if once:
            return


def _live(nodes: Nodes, interval: float, sort: str) -> None:
    from rich.live import Live

    with (
        _keys() as wait,
        Live(console=output.out, screen=True, auto_refresh=False) as live,
        contextlib.suppress(KeyboardInterrupt),
    ):
        for look in _looks(nodes, interval, False, sort, wait):
            live.update(_table(look, nodes.by), refresh=True)


@contextlib.contextmanager
def _keys() -> Iterator[Wait]:
    """Waits that `q` ends; the terminal is as it was afterwards, whatever happens."""
    if not sys.stdin.isatty():
        yield _sleep
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def wait(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([descriptor], [], [], left)[0] and os.read(descriptor, 64) in (b"q", b"Q", b""):
                return True
        return False

    try:
        tty.setcbreak(descriptor)
        yield wait
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _table(look: dict[str, Any], by: str) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    node, columns = look["node"], traffic.GROUPS[by].columns
    told = f"{node['requests']:g} requests/s   {node['in_flight']:g} in flight   {node['connections']:g} connections"
    told += f"   lag {node['loop_lag_seconds'] * 1000:.0f} ms" + (f"   {node['shed']:g}/s shed" if node["shed"] else "")
    table = Table(title=Text(told), title_justify="left", box=box.SIMPLE_HEAD, caption_justify="left", pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for name in FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    for each in look["items"]:
        style = "red" if each["failed"] else "yellow" if each["refused"] > 0.5 else ""
        table.add_row(*(output.shown(each[name]) for name in columns), *_figures(each), style=style)
    notes = [] if look["items"] else ["Nobody calls."]
    notes += [f"{url} does not answer." for url in look["silent"]]
    table.caption = Text("\n".join(notes)) if notes else None
    return table


def _figures(each: dict[str, Any]) -> list[str]:
    shares = [f"{each[name]:.1%}" if each[name] else "" for name in ("refused", "failed")]
    times = ["" if each[name] is None else f"{each[name]:g}" for name in ("p50_ms", "p99_ms")]
    return [f"{each['requests']:g}", *shares, *times]
