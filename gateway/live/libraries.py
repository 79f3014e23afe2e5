"""Loads the modules that only some versions need, with the libraries behind them, in a thread: a worker that serves
neither SOAP nor OData nor a database never holds them, nor those of policy kinds that no chain has, and one that begins
to goes on answering meanwhile."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.core.conditions import EXPRESSIONS, expressions
from gateway.core.kinds import Kinds
from gateway.snapshot.spec import StepSpec, VersionSpec
from gateway.snapshot.stages import uses

Plans = Mapping[str, tuple[StepSpec, ...]]

SOAP: Final = "gateway.frontend.soap.mount"
ODATA: Final = ("gateway.frontend.odata.mount", "gateway.query.evaluated")
SQL: Final = "gateway.backend.sql"


def needed(spec: VersionSpec, plans: Plans, kinds: Kinds) -> Iterator[str]:
    """Modules, the same one perhaps more than once."""
    if spec.soap is not None:
        yield SOAP
    if spec.odata is not None:
        yield from ODATA
    if any(backend.kind == "sql" for backend in spec.backends.values()):
        yield SQL
    lists = [*(endpoint.steps for endpoint in spec.endpoints), *plans.values()]
    for use in sorted({use for steps in lists for step in steps for use in uses(step, kinds)}):
        yield from kinds[use].libraries
    if any(text for steps in lists for step in steps for text in expressions(step.when)):
        yield EXPRESSIONS


async def load(spec: VersionSpec, plans: Plans, kinds: Kinds) -> None:
    """Kinds are modules, too: they are found in the thread."""
    for name in await asyncio.to_thread(lambda: list(needed(spec, plans, kinds))):
        if name not in sys.modules:
            await asyncio.to_thread(importlib.import_module, name)
