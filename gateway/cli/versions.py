"""Commands about how a live version stands: its life cycle, its canary, and who calls it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any

import typer

from gateway.cli import completing, output
from gateway.cli.client import Admin, connect
from gateway.cli.failures import USAGE, Failed
from gateway.cli.options import Json, Protocol, Token, Url

Version = Annotated[str, typer.Argument(help="NAME@VERSION", autocompletion=completing.versions)]
Sunset = Annotated[str | None, typer.Option("--sunset", help="The date from which it may be gone, as 2027-01-31.")]
Successor = Annotated[str | None, typer.Option("--successor", help="The version to use instead, such as v3.")]


def add(app: typer.Typer) -> None:
    for command in (deprecate, retire, reinstate, canary, callers, changelog):
        app.command()(command)


def deprecate(
    name: Version,
    sunset: Sunset = None,
    successor: Successor = None,
    since: Annotated[str | None, typer.Option("--since", help="Deprecated since; default: now.")] = None,
    documentation: Annotated[str | None, typer.Option("--documentation", help="A URL that tells more.")] = None,
    sunset_acts: Annotated[bool, typer.Option("--sunset-acts", help="From the sunset on it answers 410.")] = False,
    brownout: Annotated[
        list[str] | None, typer.Option("--brownout", help="FROM/UNTIL: it answers 503 then. May be repeated.")
    ] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Tells consumers that a version will go, without another manifest. It takes no new subscriptions.

    Example: penstock deprecate shop@v1 --sunset 2027-01-31 --successor v2
    """
    life: dict[str, Any] = {
        "status": "deprecated",
        "since": since,
        "sunset": sunset,
        "successor": successor,
        "documentation": documentation,
        "sunset_acts": sunset_acts or None,
        "brownouts": [_brownout(each) for each in brownout or []] or None,
    }
    _set(name, life, url, token, as_json, "is deprecated")


def _brownout(text: str) -> dict[str, str]:
    start, slash, end = text.partition("/")
    if not slash:
        raise Failed(f"--brownout {text!r} is no period. Write FROM/UNTIL: 2026-12-01T09:00Z/2026-12-01T09:15Z.", USAGE)
    return {"from": start, "until": end}


def retire(
    name: Version, successor: Successor = None, url: Url = None, token: Token = None, as_json: Json = False
) -> None:
    """Ends a version: it answers 410 and says where to go.

    Example: penstock retire shop@v1 --successor v2
    """
    _set(name, {"status": "retired", "successor": successor}, url, token, as_json, "is retired")


def _set(name: str, life: dict[str, Any], url: str | None, token: str | None, as_json: bool, what: str) -> None:
    body = {key: value for key, value in life.items() if value is not None}
    told = connect(url, token).put(f"/versions/{name}/lifecycle", body)
    _said(told, as_json, f"{name} {what}")


def _said(told: dict[str, Any], as_json: bool, text: str) -> None:
    output.as_json(told) if as_json else output.good(f"{text}, live on {len(told['live'])} node(s)")


def reinstate(name: Version, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Takes back what `deprecate` or `retire` set: the manifest tells the life cycle again.

    Example: penstock reinstate shop@v1
    """
    told = connect(url, token).delete(f"/versions/{name}/lifecycle")
    _said(told, as_json, f"{name} stands as its manifest says")


def canary(
    name: Version,
    verb: Annotated[str, typer.Argument(metavar="VERB", help="set, promote or abort")],
    share: Annotated[str | None, typer.Argument(help="set: the share of who calls, such as 25%")] = None,
    header: Annotated[str | None, typer.Option("--header", help="set: requests with this header get it.")] = None,
    value: Annotated[str | None, typer.Option("--value", help="set: only with this value of the header.")] = None,
    application: Annotated[
        list[str] | None, typer.Option("--application", help="set: this application gets it. May be repeated.")
    ] = None,
    sticky: Annotated[str | None, typer.Option("--sticky", help="set: application, client or request.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Shifts traffic to the revision that was published with --canary, makes it the active one, or ends it.

    Example: penstock canary shop@v2 set 25%
    """
    admin = connect(url, token)
    rule = {"share": share, "header": header, "value": value, "applications": application, "sticky": sticky}
    chosen = {key: each for key, each in rule.items() if each is not None}
    if verb not in {"set", "promote", "abort"} or (verb != "set" and chosen) or (verb == "set" and not chosen):
        text = "Write: penstock canary NAME@VERSION set 25%, or promote, or abort."
        raise Failed(text, USAGE)
    if verb == "set":
        _said(admin.put(f"/versions/{name}/canary", chosen), as_json, f"The canary of {name} is changed")
    elif verb == "promote":
        _said(admin.post(f"/versions/{name}/canary/promote"), as_json, f"The canary of {name} is the active revision")
    else:
        _said(admin.delete(f"/versions/{name}/canary"), as_json, f"The canary of {name} is gone")


def changelog(
    first: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or a revision", autocompletion=completing.versions)],
    second: Annotated[
        str | None, typer.Argument(help="NAME@VERSION or a revision", autocompletion=completing.versions)
    ] = None,
    protocol: Annotated[Protocol | None, typer.Option("--protocol", help="Of this protocol alone.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Tells in words what consumers of each protocol would notice, what breaks first. Of a NAME alone: from each
    version to the next one.

    Example: penstock changelog shop@v1 shop@v2 --protocol soap
    """
    admin = connect(url, token)
    pairs = [(first, second)] if second else _in_order(admin, first)
    found = [
        {"from": before, "to": after, **item}
        for before, after in pairs
        for item in admin.get("/changelog", **{"from": before, "to": after, "protocol": protocol})["items"]
    ]
    if as_json:
        output.as_json({"items": found})
    else:
        columns = [*(("from", "to") if not second else ()), "protocol", "change", "what", "place"]
        output.table(found, columns, "Nothing that consumers would notice.")


def _in_order(admin: Admin, name: str) -> list[tuple[str, str]]:
    """A component's versions, each with the next one. v2 stands before v10."""
    if "@" in name:
        raise Failed(f"Name a second version beside {name}, or the component alone: {name.partition('@')[0]}.", USAGE)
    admin.get(f"/components/{name}")  # refuses a name that is not there, with the nearest
    there = [each["name"] for each in admin.get("/versions")["items"] if each["name"].partition("@")[0] == name]
    return list(pairwise(sorted(there, key=_natural)))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def callers(
    name: Version,
    days: Annotated[int, typer.Option(help="How many days back, today among them.", min=1, max=400)] = 30,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists who called a version, from real requests: whether it can be retired.

    Example: penstock callers shop@v1 --days 30
    """
    told = connect(url, token).get(f"/versions/{name}/callers", days=days)
    if as_json:
        output.as_json(told)
        return
    rows = [each | {"application": each["application"] or "(none known)"} for each in told["items"]]
    output.table(rows, ["application", "calls", "first", "last"], f"Nobody called {name} in {days} days.")
