"""The kind `sql`, apart from what runs it: a node without a database does not load the libraries for one."""

from __future__ import annotations

from typing import Any, Final

from gateway.core.call import Backend
from gateway.core.errors import NotImplementedHere
from gateway.core.kinds import BackendKind, Services
from gateway.manifest.documents import SqlBackend


def _open(config: SqlBackend, _services: Services) -> Any:
    from gateway.backend.sql import open_connection

    return open_connection(config)


def _bind(_config: Any, _connection: Any, operation: Any, _types: Any, _services: Services) -> Backend:
    raise NotImplementedHere(f"The operation {operation.name}: a sql backend serves entity sets, not operations.")


KIND: Final = BackendKind(
    name="sql",
    connection=SqlBackend,
    operation=None,
    open=_open,
    bind=_bind,
    summary="tables of a database as entity sets",
)
