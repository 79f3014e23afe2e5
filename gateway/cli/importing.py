"""`penstock import`: a component's manifest out of OpenAPI, WSDL, CSDL, or the tables of a database."""

from __future__ import annotations

import os
import tempfile
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import output
from gateway.cli.options import Json
from gateway.cli.tasks import Tasks

if TYPE_CHECKING:
    from gateway.manifest.imports.draft import Draft

group = typer.Typer(cls=Tasks, name="import", help="Makes manifests of what there is already.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="A file, or an http(s) URL.")]
Name = Annotated[str, typer.Option("--name", help="The component's name. Default: of the document's title.")]
Version = Annotated[str, typer.Option("--version", help="The version's name. Default: of the document's version.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where the manifest is written. Default: printed.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", help="A folder or URL prefix that it may refer to as well.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, max=600, help="Seconds for a URL to answer.")]
_ROUNDS: Final = 12


@group.command()
def openapi(
    source: Source,
    name: Name = "",
    version: Version = "",
    out: Out = None,
    typed: Annotated[
        bool, typer.Option("--typed", help="Refuse the document if an operation cannot be typed.")
    ] = False,
    relay: Annotated[bool, typer.Option("--relay", help="Relay every operation; type none.")] = False,
    allow: Allow = None,
    timeout: Timeout = 20.0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """OpenAPI 3.0, 3.1 or Swagger 2.0: typed operations where all can be said, relay routes elsewhere.

    Example: penstock import openapi petstore.yaml --name pets --out pets.yaml
    """
    from gateway.manifest.imports.openapi import import_openapi
    from gateway.manifest.imports.source import Sources

    if typed and relay:
        raise typer.BadParameter("--typed and --relay contradict each other.")
    mode: Any = "typed" if typed else "relay" if relay else "auto"
    _run(
        lambda: import_openapi(Sources(source, allow or (), timeout), name, version, mode),
        (name, version), out, force, as_json, f"import openapi {_shown(source)}", strict=typed,
    )  # fmt: skip


@group.command()
def wsdl(
    source: Source,
    name: Name = "",
    version: Version = "",
    out: Out = None,
    allow: Allow = None,
    timeout: Timeout = 20.0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """WSDL 1.1: typed calls of the SOAP service, to be called as REST, and a relay of each port.

    Example: penstock import wsdl stock.wsdl --name stock --out stock.yaml
    """
    from gateway.manifest.imports.source import Sources
    from gateway.manifest.imports.wsdl import import_wsdl

    _run(
        lambda: import_wsdl(Sources(source, allow or (), timeout), name, version),
        (name, version), out, force, as_json, f"import wsdl {_shown(source)}",
    )  # fmt: skip


@group.command()
def csdl(
    source: Source,
    name: Name = "",
    version: Version = "",
    out: Out = None,
    service: Annotated[str, typer.Option("--service", help="The service's root URL, where SOURCE is a file.")] = "",
    timeout: Timeout = 20.0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """OData 4 $metadata, XML or JSON: typed reads, functions and actions, and a relay of the whole service.

    Example: penstock import csdl metadata.xml --service https://erp.example/odata --out erp.yaml
    """
    from gateway.manifest.imports.csdl import import_csdl
    from gateway.manifest.imports.source import Sources

    _run(
        lambda: import_csdl(Sources(source, (), timeout), name, version, service),
        (name, version), out, force, as_json, f"import csdl {_shown(source)}",
    )  # fmt: skip


@group.command()
def database(
    source: Annotated[str, typer.Argument(help="sqlite:///shop.db or postgresql://user:password@host/shop")],
    name: Name = "",
    version: Version = "",
    out: Out = None,
    tables: Annotated[str, typer.Option("--tables", help="Only these, divided by commas. Default: all.")] = "",
    schema: Annotated[str, typer.Option("--schema", help="PostgreSQL: the tables' schema.")] = "",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Tables and views as OData entity sets, read only, with navigation along foreign keys.

    Example: penstock import database sqlite:///shop.db --tables orders,order_lines --out ledger.yaml
    """
    from gateway.manifest.imports.database import DatabaseImport

    wanted = [each.strip() for each in tables.split(",") if each.strip()]
    made = DatabaseImport(source, name, version, wanted, schema or None)
    _run(made.make, (name, version), out, force, as_json, f"import database {made.draft.origin}", secrets=made.secrets)


def _shown(source: str) -> str:
    """Without what may be secret in a URL."""
    from gateway.manifest.imports.source import Sources

    return Sources(source).origin


def _run(
    make: Callable[[], Draft],
    named: tuple[str, str],
    out: Path | None,
    force: bool,
    as_json: bool,
    command: str,
    *,
    strict: bool = False,
    secrets: dict[str, str] | None = None,
) -> None:
    from gateway.manifest.imports.draft import check_names, refused

    check_names(named[0] or "name", named[1] or "v1")
    if out is not None and out.exists() and not force:
        raise refused(str(out), "the file is there already.", "Name another one, or overwrite it: --force.", "exists")
    draft = make()
    text = _checked(draft, command, strict, secrets or {})
    if out is not None:
        _write(out, text)
    _tell(draft, text, out, as_json)


def _write(out: Path, text: str) -> None:
    """Whole or not at all."""
    from gateway.manifest.imports.draft import refused

    try:
        beside = out.with_name(f".{out.name}.{os.getpid()}")
        beside.write_text(text, "utf-8")
        beside.replace(out)
    except OSError as error:
        raise refused(str(out), f"it cannot be written: {error.strerror}.", "", "write") from None


def _tell(draft: Draft, text: str, out: Path | None, as_json: bool) -> None:
    notes = [{"place": note.place, "message": note.message} for note in draft.notes]
    sets = len(draft.odata.get("entity_sets", {}))
    if as_json:
        counts = {"typed": draft.typed, "relayed": draft.relayed, "entity_sets": sets, "types": len(draft.types)}
        told: dict[str, Any] = {"name": f"{draft.name}@{draft.version}", **counts, "notes": notes}
        output.as_json(told | ({"file": str(out)} if out else {"manifest": text}))
        return
    if out is None:
        output.raw(text)
    where = f" in {out}" if out else ""
    parts = [f"{draft.typed} operations typed", f"{draft.relayed} routes relayed", f"{len(draft.types)} types"]
    parts += [f"{sets} entity sets"] if sets else []
    output.told(f"{draft.name}@{draft.version}{where}: {', '.join(parts)}, {len(notes)} notes.")
    for note in draft.notes:
        output.told(f"  {note}")


def _checked(draft: Draft, command: str, strict: bool, secrets: dict[str, str]) -> str:
    """The text, once `penstock check` passes on it. What it refuses is relayed instead, or left out, and noted."""
    from gateway.core.findings import DocumentsRefused
    from gateway.manifest.imports.repair import relay_all, repair
    from gateway.manifest.imports.yaml_writer import write

    head = [f"Made by: penstock {command}", "Imported once; from here on it is yours to change."]
    last: Exception = typer.Exit(1)
    for _ in range(_ROUNDS):
        text = write(draft.document(), draft.comments, head)
        try:
            _check(text, secrets)
        except DocumentsRefused as refused:
            last = refused
            if strict or not repair(draft, refused):
                raise
        except RecursionError:
            if not relay_all(draft, "its types lead to one another in a chain too long to be compiled"):
                raise
        else:
            return text
    raise last


def _check(text: str, secrets: dict[str, str]) -> None:
    from gateway.cli import offline

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "component.yaml"
        path.write_text(text, "utf-8")
        environment = None
        if secrets:
            environment = Path(folder) / "environment" / "environment.yaml"
            environment.parent.mkdir()
            for name, secret in secrets.items():
                (environment.parent / name).write_text(urllib.parse.quote(secret, safe=""), "utf-8")
            listed = ", ".join(f"{name}: {{file: {name}}}" for name in secrets)
            environment.write_text(f"kind: Environment\nsecrets: {{{listed}}}\n", "utf-8")
        offline.compiled([path], [], environment)
