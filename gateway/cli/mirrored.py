"""The command about copies of requests."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import completing, output
from gateway.cli.client import connect
from gateway.cli.options import Json, Token, Url


def add(app: typer.Typer) -> None:
    app.command()(mirror)


def mirror(
    name: Annotated[str, typer.Argument(help="NAME@VERSION", autocompletion=completing.versions)],
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Tells what the copies of a version's requests got, beside the requests themselves: its policy `mirror`.

    Example: penstock mirror shop@v2
    """
    told = connect(url, token).get(f"/versions/{name}/mirror")
    if as_json:
        output.as_json(told)
        return
    columns = ["endpoint", "to", "compared", "different", "statuses", "original", "copy", "dropped"]
    output.table([_row(each) for each in told["items"]], columns, f"No request of {name} was copied.")


def _row(each: dict[str, Any]) -> dict[str, Any]:
    """Statuses that differ alone, as `200 500: 3`."""
    differing = {pair: count for pair, count in each["statuses"].items() if len(set(pair.split(" "))) > 1}
    return each | {
        "statuses": _listed(differing),
        "dropped": _listed(each["dropped"]),
        "original": _time(each["original_seconds"]),
        "copy": _time(each["copy_seconds"]),
    }


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items())) or "-"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
