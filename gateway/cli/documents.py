"""Commands about documents: check, plan, publish, rollback, and what is live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import completing, differing, output, waiting
from gateway.cli.client import connect
from gateway.cli.options import Json, Protocol, Token, Url
from gateway.cli.versions import changelog

Paths = Annotated[list[Path], typer.Argument(help="Files or folders of documents.", exists=True)]
Packages = Annotated[list[str] | None, typer.Option("--processes", help="Package whose processes the documents name.")]
EnvironmentFile = Annotated[Path | None, typer.Option("--environment", help="File of kind Environment.", exists=True)]


def add(app: typer.Typer) -> None:
    app.command()(check)
    app.command()(plan)
    app.command()(publish)
    app.command()(rollback)
    app.command("list")(list_)
    app.command()(show)
    app.command()(diff)


def check(paths: Paths, processes: Packages = None, environment: EnvironmentFile = None, as_json: Json = False) -> None:
    """Checks documents without a gateway: every finding at once, with its place.

    Example: penstock check api_components policies --processes gateway.demo
    """
    from gateway.cli import offline  # what compiles is heavy; commands that only ask a gateway start without it

    snapshot = offline.compiled(paths, processes or [], environment)
    if as_json:
        output.as_json({"snapshot": snapshot.hash, "versions": [each.name for each in snapshot.versions]})
    else:
        names = ", ".join(each.name for each in snapshot.versions) or "no versions"
        output.good(f"All good: {names}.")


def plan(
    paths: Paths,
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with this folder instead of a gateway.", exists=True)
    ] = None,
    processes: Packages = None,
    environment: EnvironmentFile = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Tells what publishing would change. Exit 0: nothing, 2: changes, 1: errors.

    Example: penstock plan api_components
    """
    if against is not None:
        from gateway.cli import offline

        before = offline.compiled([against], processes or [], environment)
        after = offline.compiled(paths, processes or [], environment)
        items = offline.differences(before, after)
        output.as_json({"items": items}) if as_json else differing.differences(items)
        raise typer.Exit(2 if items else 0)
    told = connect(url, token).documents(paths, dry_run=True, force=True)
    output.as_json(told) if as_json else output.plan(told)
    changed = any(item["action"] != "unchanged" for item in told["items"])
    raise typer.Exit(2 if changed else 0)


def publish(
    paths: Paths,
    no_activate: Annotated[bool, typer.Option("--no-activate", help="Store the revision, serve the old one.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if consumers would notice.")] = False,
    canary: Annotated[
        str | None, typer.Option("--canary", help="Beside what is active, for this share of who calls: 10%.")
    ] = None,
    canary_header: Annotated[
        str | None, typer.Option("--canary-header", help="Requests with this header get the canary.")
    ] = None,
    canary_application: Annotated[
        list[str] | None, typer.Option("--canary-application", help="It gets the canary. May be repeated.")
    ] = None,
    canary_sticky: Annotated[
        str | None, typer.Option("--canary-sticky", help="Who stays: application, client or request.")
    ] = None,
    guard: Annotated[
        str | None, typer.Option("--guard", help="In place of the manifest's: errors=5%,p99=500ms.")
    ] = None,
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for a gateway that is starting.", min=0)] = 0,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Puts documents live on every node, or changes nothing.

    Example: penstock publish api_components --wait 60
    """
    rule = {
        "canary": canary,
        "canary_header": canary_header,
        "canary_applications": ",".join(canary_application) if canary_application else None,
        "canary_sticky": canary_sticky,
        "guard": guard,
    }
    admin = connect(url, token)
    if wait:
        waiting.until_ready(admin, wait)
    told = admin.documents(paths, no_activate=no_activate, force=force, **rule)
    if as_json:
        output.as_json(told)
        return
    output.plan(told)
    said(told)


def said(told: dict[str, Any]) -> None:
    if told["sequence"] is None:
        output.out.print("Nothing to change.", style="dim")
    else:
        count = len(told["live"])
        output.good(f"live on {count}/{count}: {', '.join(told['live'])}")


Version = Annotated[str, typer.Argument(help="NAME@VERSION", autocompletion=completing.versions)]


def rollback(
    name: Version,
    to: Annotated[str | None, typer.Option("--to", help="A revision; default: the one before.")] = None,
    with_policies: Annotated[
        bool, typer.Option("--with-policies", help="With the named policies it was published with.")
    ] = False,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Points a version at an earlier revision, on every node.

    Example: penstock rollback shop@v2
    """
    told = connect(url, token).post(f"/versions/{name}/rollback", {"to": to, "with_policies": with_policies})
    if as_json:
        output.as_json(told)
    else:
        output.good(f"{name}: {told['from']} → {told['to']}, live on {len(told['live'])} node(s)")


def list_(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Lists what is live.

    Example: penstock list
    """
    told = connect(url, token).get("/versions")
    if as_json:
        output.as_json(told)
        return
    columns = ["name", "status", "revision", "base_path", "endpoints", "since"]
    output.table(told["items"], columns, "Nothing is live. Publish something: penstock publish PATH")


def show(name: Version, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Shows one version: what is live of it, and what was.

    Example: penstock show shop@v2
    """
    told = connect(url, token).get(f"/versions/{name}")
    output.as_json(told) if as_json else output.fields(told)


def diff(
    first: Annotated[str, typer.Argument(help="A revision or NAME@VERSION", autocompletion=completing.versions)],
    second: Annotated[str, typer.Argument(help="A revision or NAME@VERSION", autocompletion=completing.versions)],
    protocol: Annotated[
        Protocol | None, typer.Option("--protocol", help="In words, what consumers of this protocol notice.")
    ] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Shows what differs between two revisions.

    Example: penstock diff shop@v1 shop@v2
    """
    if protocol:
        changelog(first, second, protocol, url, token, as_json)
        return
    told = connect(url, token).get("/diff", **{"from": first, "to": second})
    output.as_json(told) if as_json else differing.differences(told["items"])
