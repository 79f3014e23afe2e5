"""The command that hosts processes outside of gateways: runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.failures import Failed
from gateway.cli.given_settings import WithSettings, given_settings

if TYPE_CHECKING:
    from pydantic import BaseModel


def add(app: typer.Typer) -> None:
    app.command(cls=Runtime)(runtime)


class Runtime(WithSettings):
    @classmethod
    def model(cls) -> tuple[type[BaseModel], str]:
        from gateway.core.runtime_settings import PREFIX, RuntimeSettings

        return RuntimeSettings, PREFIX


def runtime(
    processes: Annotated[list[str] | None, typer.Option(help="Package whose processes run here.")] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            help="Where gateways connect: HOST:PORT or unix:PATH, then words such as certificate=FILE key=FILE "
            "client_ca=FILE; default 127.0.0.1:8090."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="This runtime's name; default: the host's.")] = None,
    threads: Annotated[int | None, typer.Option(help="That run plain functions; default 16.")] = None,
    metrics_host: Annotated[str | None, typer.Option(help="Default 127.0.0.1.")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="Of /metrics, /live and /ready; default: none.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings; flags win.", exists=True)] = None,
) -> None:
    """Hosts processes for gateways that know its token, until SIGTERM or Ctrl-C. See docs/guide/runtimes.md.

    Example: penstock runtime --processes gateway.demo --listen unix:runtime.sock
    """
    from gateway.core.runtime_settings import PREFIX, RuntimeSettings
    from gateway.server import runtime_process
    from gateway.server.opening import CannotListen
    from gateway.server.tls_files import CertificateUnusable

    flags: dict[str, Any] = {
        "processes": tuple(processes) if processes else None,
        "listen": listen,
        "name": name,
        "threads": threads,
        "metrics_host": metrics_host,
        "metrics_port": metrics_port,
    }
    settings = given_settings(RuntimeSettings, PREFIX, flags, config)
    try:
        runtime_process.run(settings, announce)
    except (CannotListen, CertificateUnusable) as error:
        raise Failed(str(error)) from None


def announce(told: Mapping[str, Any]) -> None:
    """What an operator sees at start."""
    output.out.print(f"runtime  {told['place']}")
    if told["metrics"]:
        output.out.print(f"metrics  http://{told['metrics']}/metrics")
    names = ", ".join(told["processes"])
    output.out.print(f"hosts    {names or 'nothing: no function of these packages is marked with @process'}")
