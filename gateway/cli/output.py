"""What the command line prints: tables and short sentences for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE: Final = 240  # columns where the output is no terminal: another program or a file reads it

out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


UNBROKEN: Final = {"name", "revision", "snapshot", "id", "at", "since", "url"}


# Control characters (C0 but for the line feed, and C1) of others' text never reach the terminal.
_SHOWN: Final = dict.fromkeys((*range(10), *range(11, 32), *range(127, 160)), "�")


def shown(text: str, style: str = "") -> Text:
    return Text(text.translate(_SHOWN), style=style)


def as_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], empty: str) -> None:
    """One line a row. Columns whose name ends in `at`, `since`, `starts` or `ends` are times."""
    found = list(rows)
    if not found:
        out.print(empty, style="dim")
        return
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column.replace("_", " ").upper(), overflow="fold", no_wrap=column in UNBROKEN)
    for row in found:
        made.add_row(*(shown(_cell(column, row.get(column))) for column in columns))
    out.print(made)


def fields(value: Mapping[str, Any]) -> None:
    """One thing, a line a field."""
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, each in value.items():
        made.add_row(name.replace("_", " "), shown(_block(name, each)))
    out.print(made)


def _block(name: str, value: Any) -> str:
    """As a cell; what is nested stands on lines of its own."""
    if isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(item, str) for item in value)):
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if value else "-"
    return _cell(name, value)


def _cell(column: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, float) and column in {"at", "since", "starts", "ends", "created", "revoked"}:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "-"
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def good(text: str) -> None:
    out.print(shown(text, style="green"))


def bad(text: str) -> None:
    err.print(shown(text, style="red"))


def note(text: str) -> None:
    """As `told`, for what explains what is told next."""
    err.print(shown(text, style="dim"))


COLOURS: Final = {"create": "green", "update": "yellow", "delete": "red", "unchanged": "dim"}
_TOUCHES: Final = (("+", "added"), ("-", "removed"), ("~", "changed"))
SIGNS: Final = {"create": "+", "update": "~", "delete": "-", "unchanged": " "}


def plan(told: Mapping[str, Any]) -> None:
    """What an apply does, or would do."""
    for item in told["items"]:
        line = f"{SIGNS[item['action']]} {item['kind']} {item['name']}"
        line += f"  {item['detail']}" if item["detail"] else ""
        out.print(shown(line, style=COLOURS[item["action"]]))
    touched(told.get("touched", ()))
    for finding in told["breaking"]:
        out.print(shown(f"! breaking: {finding}", style="red"))


def touched(items: Sequence[Mapping[str, Any]]) -> None:
    """The endpoints that a change of a policy or plan reaches, without their component being published."""
    for each in items:
        whose = f" for callers on plan {each['plan']}" if each["plan"] else ""
        steps = [f"{sign}{id}" for sign, key in _TOUCHES for id in each[key]]
        where = f"{each['version']} {each['endpoint']}{whose}"
        out.print(shown(f"  touches {where}: {' '.join(steps) or 'the order of its steps'}", "cyan"))


def explanation(found: Mapping[str, Any]) -> None:
    """One request as a tree."""
    from rich.tree import Tree

    tree = Tree(shown(f"{found['method']} {found['path']}", "bold"), guide_style="dim")
    tree.add(shown(f"outcome   {found['outcome']}"))
    if found["version"]:
        selected = f"selected by {found['selected_by']} (revision {found['revision']})"
        tree.add(shown(f"version   {found['version']}, {selected}"))
    if found.get("canary"):
        tree.add(shown(f"revision  {found['canary']}"))
    candidates = tree.add("candidates") if found["candidates"] else tree
    for each in found["candidates"]:
        sign, style = ("✓", "green") if each["taken"] else ("·", "dim")
        candidates.add(shown(f"{sign} {each['what']}: {each['reason']}", style))
    steps = tree.add("steps") if found["steps"] else tree
    for number, step in enumerate(found["steps"], 1):
        steps.add(shown(f"{number:>2} {_step(step)}"))
    if found["backend"]:
        tree.add(shown(f"backend   {found['backend']}"))
    out.print(tree)


def _step(step: Mapping[str, Any]) -> str:
    scope = f"  from {step['scope']}" if step["scope"] else ""
    when = f"  when {orjson.dumps(step['when']).decode()}" if step["when"] else ""
    beside = f"  in one go with {step['together_with']}" if step.get("together_with") else ""
    place = f"  {step['place']}" if step["place"] else ""
    name = step["use"] if step["id"] in {step["use"], "last", "decode"} else f"{step['id']} ({step['use']})"
    return f"{step['stage']:<4} {name}{scope}{when}{beside}{place}"


def raw(text: str) -> None:
    """A document as it is, for a file or a pipe."""
    sys.stdout.write(text)


def told(text: str) -> None:
    """Beside what a command prints: on standard error."""
    err.print(shown(text))
