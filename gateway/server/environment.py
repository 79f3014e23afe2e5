"""The values and secrets of this node, from the file that it was started with."""

from __future__ import annotations

import asyncio
import importlib
from functools import partial

from gateway.core.settings import Settings
from gateway.manifest.bundle import Table
from gateway.manifest.environment import EnvironmentValues, SecretMissing, read_environment, reveal
from gateway.manifest.tables import Reflect


def node_environment(settings: Settings) -> EnvironmentValues:
    """Empty without a file. DocumentsRefused when the file is wrong or a secret is missing."""
    return read_environment(settings.environment) if settings.environment else EnvironmentValues()


def reflecting(environment: EnvironmentValues) -> Reflect:
    """Reads tables; a secret in a database's URL is revealed for that moment only. The libraries for databases are
    loaded by the first one, in a thread."""

    async def read(url: str, table: str) -> Table:
        module = await asyncio.to_thread(importlib.import_module, "gateway.manifest.reflect")
        found: Table = await module.reflect(str(reveal(url, environment.secrets)), table)
        return found

    return read


def names_of(environment: EnvironmentValues) -> dict[str, list[str]]:
    """The values and the secrets that this node has, by name: for its heartbeat. A secret whose source gives none is
    not had."""
    return {
        "values": sorted(environment.values),
        "secrets": sorted(filter(partial(_had, environment), environment.secrets)),
    }


def _had(environment: EnvironmentValues, name: str) -> bool:
    try:
        return bool(environment.secrets[name])
    except SecretMissing:
        return False
