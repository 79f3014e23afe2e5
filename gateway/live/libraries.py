"""Loads the modules that only some versions need, with the libraries behind them, in a thread: a worker that serves
neither SOAP nor OData nor a database never holds them, and one that begins to goes on answering meanwhile."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from typing import Final

from gateway.snapshot.spec import VersionSpec

SOAP: Final = "gateway.frontend.soap.mount"
ODATA: Final = ("gateway.frontend.odata.mount", "gateway.query.evaluated")
SQL: Final = "gateway.backend.sql"


def needed(spec: VersionSpec) -> Iterator[str]:
    if spec.soap is not None:
        yield SOAP
    if spec.odata is not None:
        yield from ODATA
    if any(backend.kind == "sql" for backend in spec.backends.values()):
        yield SQL


async def load(spec: VersionSpec) -> None:
    for name in needed(spec):
        if name not in sys.modules:
            await asyncio.to_thread(importlib.import_module, name)
