"""Commands that run a gateway: serve and demo."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from gateway.cli import output, setting_words
from gateway.cli.failures import USAGE, Failed

if TYPE_CHECKING:
    from gateway.core.settings import Settings


def add(app: typer.Typer) -> None:
    app.command(cls=Serve)(serve)
    app.command()(demo)


class Serve(TyperCommand):
    """Its help lists every setting, those without a flag too."""

    def format_epilog(self, _ctx: Any, formatter: Any) -> None:
        from gateway.core.settings import PREFIX, Settings

        fields = Settings.model_fields.items()
        with formatter.section("Settings; a flag wins over a variable, a variable over a line of --config"):
            formatter.write_dl([(f"{PREFIX}{name.upper()}", _meaning(field)) for name, field in fields])


def _meaning(field: Any) -> str:
    text = field.description or ""
    if field.default is None or field.default == ():
        return text
    default = field.default
    default = (
        f"{default:g}" if isinstance(default, float) else ",".join(default) if isinstance(default, tuple) else default
    )
    return f"{text}; default {default}" if text else f"default {default}"


def serve(
    manifests: Annotated[Path | None, typer.Option(help="Folder of documents published at start.", exists=True)] = None,
    policies: Annotated[Path | None, typer.Option(help="Folder of policies applied at start.", exists=True)] = None,
    processes: Annotated[list[str] | None, typer.Option(help="Package whose processes run here.")] = None,
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
    """Flags over variables over the file."""
    from pydantic import ValidationError

    from gateway.core.otel_variables import NotDone
    from gateway.core.otel_variables import from_variables as from_otel
    from gateway.core.settings import PREFIX, Settings, from_environment

    from_file = _read(config) if config else {}
    from_variables = from_environment(os.environ)
    try:
        standard, standard_sources = from_otel(os.environ)
    except NotDone as error:
        raise Failed(f"These settings cannot be used:\n  {error}", USAGE) from None
    given = {name: value for name, value in flags.items() if value is not None}
    known = Settings.model_fields

    def source(name: str) -> str:
        if name in given:
            return "--" + name.replace("_", "-")
        if name in from_variables:
            return PREFIX + name.upper()
        return str(config) if name in from_file else standard_sources.get(name, str(config))

    wrong = setting_words.misspelt(os.environ, PREFIX, known)
    try:
        settings = Settings.model_validate({**standard, **from_file, **from_variables, **given})
    except ValidationError as error:
        wrong = setting_words.lines(error, source, known) + wrong
    if wrong:
        text = "These settings cannot be used:\n" + "\n".join(f"  {line}" for line in wrong)
        raise Failed(text, USAGE)
    return settings


def _read(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe", pure=True).load(path.read_text())
    except YAMLError as error:
        raise Failed(f"{path} cannot be read: {error}", USAGE) from None
    if not isinstance(found, dict):
        raise Failed(f"{path} is no list of settings: write `name: value` lines.", USAGE)
    return found


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
