"""Names that the shell completes: asked of the gateway, quickly, and never an error.

A shell puts what is offered here into a command line, so only what is a plain name is offered, whatever answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import typer

from gateway.cli.client import connect

SECONDS: Final = 1.0  # for each request: somebody has pressed Tab and waits
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]*")
Completing = Callable[[typer.Context, str], list[str]]


def names(path: str, field: str = "name") -> Completing:
    """Completes by the `field` of what the admin REST lists at `path`."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        return _matching(ctx, path, field, incomplete)

    return complete


def _matching(ctx: typer.Context, path: str, field: str, incomplete: str) -> list[str]:
    try:
        admin = connect(ctx.params.get("url"), ctx.params.get("token"), SECONDS)
        found = {str(each[field]) for each in admin.get(path)["items"]}
    except Exception:  # a shell shows nothing but names: no gateway, no token, a role that may not list
        return []
    return sorted(each for each in found if each.startswith(incomplete) and _PLAIN.fullmatch(each))


def of_group(ctx: typer.Context, incomplete: str) -> list[str]:
    """By the group that the command is in: `policies`, `plans`, `topics`."""
    return _matching(ctx, f"/{ctx.parent.info_name}" if ctx.parent else "/", "name", incomplete)


versions: Final = names("/versions")
kinds: Final = names("/policy-kinds")
plans: Final = names("/plans")
applications: Final = names("/applications")
topics: Final = names("/topics")
policies: Final = names("/policies")
nodes: Final = names("/nodes")
runtimes: Final = names("/runtimes")
components: Final = names("/components")
