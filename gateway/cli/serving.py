"""Commands that run a gateway: serve and demo."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.failures import USAGE, Failed
from gateway.cli.given_settings import WithSettings, given_settings

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gateway.core.settings import Settings


def add(app: typer.Typer) -> None:
    app.command(cls=Serve)(serve)
    app.command()(demo)


class Serve(WithSettings):
    @classmethod
    def model(cls) -> tuple[type[BaseModel], str]:
        from gateway.core.settings import PREFIX, Settings

        return Settings, PREFIX


def serve(
    manifests: Annotated[Path | None, typer.Option(help="Folder of documents published at start.", exists=True)] = None,
    policies: Annotated[Path | None, typer.Option(help="Folder of policies applied at start.", exists=True)] = None,
    processes: Annotated[list[str] | None, typer.Option(help="Package whose processes run here.")] = None,
    runtimes: Annotated[
        list[str] | None,
        typer.Option(
            help="A runtime whose processes may be called: NAME=HOST:PORT or NAME=unix:PATH, then words such as "
            "ca=FILE; see docs/guide/runtimes.md. May be repeated."
        ),
    ] = None,
    policies_code: Annotated[list[str] | None, typer.Option(help="Package whose policies run isolated.")] = None,
    environment: Annotated[Path | None, typer.Option(help="Values and secrets of this node.", exists=True)] = None,
    store: Annotated[
        str | None, typer.Option(help="redis://, rediss://, unix://, redis[s]+cluster://, +sentinel://")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of this node's files; default ./var.")] = None,
    host: Annotated[str | None, typer.Option(help="Address of the first, plain listener; default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Its port; default 8080, none if only --listen is given.")] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            help="A listener: HOST:PORT or unix:PATH, then words such as certificate=FILE key=FILE client_ca=FILE "
            "proxy_protocol=NETWORK mode=0660; see docs/guide/operating.md. May be repeated."
        ),
    ] = None,
    admin_host: Annotated[str | None, typer.Option(help="Default 127.0.0.1.")] = None,
    admin_port: Annotated[int | None, typer.Option(help="Default 8081.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; default 1.")] = None,
    node: Annotated[str | None, typer.Option(help="This node's name.")] = None,
    trusted_proxies: Annotated[
        list[str] | None, typer.Option(help="Network whose Forwarded and X-Forwarded-* are believed.")
    ] = None,
    egress: Annotated[
        list[str] | None, typer.Option(help="Where backends may lead: a network, a host, unix:/path/*; ! forbids.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings; flags win.", exists=True)] = None,
) -> None:
    """Runs a gateway until SIGTERM or Ctrl-C. Every setting can stand in PENSTOCK_… or a file, too.

    Example: penstock serve --manifests api_components --policies policies --processes gateway.demo
    """
    flags = {
        "manifests": manifests,
        "policies": policies,
        "processes": tuple(processes) if processes else None,
        "runtimes": tuple(runtimes) if runtimes else None,
        "policies_code": tuple(policies_code) if policies_code else None,
        "environment": environment,
        "store": store,
        "data": data,
        "host": host,
        "port": port,
        "listen": tuple(listen) if listen else None,
        "admin_host": admin_host,
        "admin_port": admin_port,
        "workers": workers,
        "node": node,
        "trusted_proxies": tuple(trusted_proxies) if trusted_proxies else None,
        "egress": tuple(egress) if egress else None,
    }
    run(settings_of(flags, config), announce)


def settings_of(flags: dict[str, Any], config: Path | None) -> Settings:
    """Flags over variables over the file; OpenTelemetry's own variables below all."""
    from gateway.core.otel_variables import NotDone
    from gateway.core.otel_variables import from_variables as from_otel
    from gateway.core.settings import PREFIX, Settings

    try:
        standard, sources = from_otel(os.environ)
    except NotDone as error:
        raise Failed(f"These settings cannot be used:\n  {error}", USAGE) from None
    return given_settings(Settings, PREFIX, flags, config, standard, sources)


def run(settings: Settings, announcing: Callable[[dict[str, Any]], None]) -> None:
    from gateway.server.key_secret import KeySecretMissing
    from gateway.server.supervisor import NotStarted, Supervisor
    from gateway.store.embedded import EmbeddedStoreError

    try:
        asyncio.run(Supervisor(settings, announcing).run())
    except (NotStarted, KeySecretMissing, EmbeddedStoreError) as error:
        raise Failed(str(error)) from None


def announce(event: dict[str, Any]) -> None:
    """What an operator sees at start."""
    if event["event"] == "ready":
        for url in event["urls"]:
            output.out.print(f"gateway  {url}")
        output.out.print(f"admin    {event['admin']}")
        if event.get("metrics"):
            output.out.print(f"metrics  {event['metrics']}")
        if event["token"]:
            output.out.print(f"token    {event['token']}   (shown once; kept in the data folder's context.json)")
    else:
        output.bad(str(event.get("text", event)))


def demo(
    data: Annotated[Path, typer.Option(help="Folder of the demo's files.", envvar="PENSTOCK_DATA")] = Path("var"),
    host: Annotated[str, typer.Option(help="Where the gateway listens.", envvar="PENSTOCK_HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The gateway's port.")] = 8080,
    admin_port: Annotated[int, typer.Option(help="The admin's port.")] = 8081,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1)] = 2,
) -> None:
    """Runs the sample shop and prints calls that work. Ctrl-C ends it; its data stays.

    Example: penstock demo --port 9080
    """
    from gateway.demo.tour import Tour

    tour = Tour(data, host, port, admin_port, workers)
    with tour:
        run(tour.settings, tour.announce)
