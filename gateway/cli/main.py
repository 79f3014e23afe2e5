"""`penstock`: parse, call, print. Each command file adds its own; this one composes them and maps failures to exits.

Exit codes: 0 done · 1 refused · 2 wrong usage, or `plan` with changes · 3 no gateway answers · 130 Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer
from typer import Abort
from typer._click.exceptions import ClickException

from gateway import __version__
from gateway.cli import (
    backup,
    cached,
    consumers,
    credentials,
    documents,
    ending,
    history,
    importing,
    login,
    looking,
    mirrored,
    output,
    runtime,
    runtimes,
    serving,
    signing_keys,
    stored,
    usage,
    versions,
)
from gateway.cli.failures import Failed
from gateway.cli.tasks import Tasks
from gateway.core.errors import Problem
from gateway.core.findings import DocumentsRefused

app = typer.Typer(
    name="penstock",
    cls=Tasks,
    help="An API management gateway: one typed operation as REST, SOAP and OData, per version, under one chain.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        output.out.print(f"penstock {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Talks to a gateway by its admin REST: --url, --token, PENSTOCK_URL, PENSTOCK_TOKEN, or ./var/context.json."""


serving.add(app)
runtime.add(app)
documents.add(app)
login.add(app)
looking.add(app)
versions.add(app)
usage.add(app)
mirrored.add(app)
backup.add(app)
history.add(app)
runtimes.add(app)
for name, group in (*stored.groups(), *consumers.groups(), *credentials.groups()):
    app.add_typer(group, name=name)
app.add_typer(cached.group, name="cache")
app.add_typer(importing.group, name="import")
app.add_typer(signing_keys.group, name="signing-keys")


def main() -> None:
    """The console script."""
    if os.getpid() == 1:  # the kernel drops signals that process 1 has no handler for
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        sys.exit(app(prog_name="penstock", standalone_mode=False) or 0)
    except ClickException as error:
        ending.usage(error)
    except Abort:
        sys.exit(1)
    except Failed as failed:
        ending.fail(str(failed), failed.code, failed.problem)
    except DocumentsRefused as refused:
        _refused(refused)
    except Problem as problem:
        ending.fail(problem.detail or problem.title, 1, {"title": problem.title, "detail": problem.detail})
    except BrokenPipeError:  # `penstock list | head`
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("PENSTOCK_DEBUG"):
            raise
        text = f"penstock itself failed: {type(error).__name__}: {error}. Please report it, with PENSTOCK_DEBUG=1."
        ending.fail(text, 1, {"title": text})


def _refused(refused: DocumentsRefused) -> None:
    findings = "\n".join(f"  {finding}" for finding in refused.findings)
    title = f"{len(refused.findings)} finding{'s' * (len(refused.findings) > 1)}"
    errors = [
        {"target": str(each.place), "code": each.code, "message": f"{each.message} {each.hint}".strip()}
        for each in refused.findings
    ]
    ending.fail(f"{title}:\n{findings}", 1, {"title": title, "errors": errors})


if __name__ == "__main__":
    main()
