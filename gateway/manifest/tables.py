"""Tables behind entity sets: reflected once, each set with an entity type of its own among the version's types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.core.findings import DocumentsRefused
from gateway.manifest.bundle import Column, Schema, Table
from gateway.manifest.documents import EntitySet
from gateway.manifest.entity_types import entity_type_name
from gateway.manifest.environment import Value, fill
from gateway.manifest.plain_words import near
from gateway.manifest.site import Keys, Version

Reflect = Callable[[str, str], Awaitable[Table]]  # (URL of the database, table) -> its columns and keys


async def tables_of(version: Version, reflect: Reflect, values: Mapping[str, Value]) -> dict[str, Table]:
    """By the names of the manifest (`ledger.orders`). What cannot be reached or is not there becomes a finding."""
    found: dict[str, Table] = {}
    for name, each in _sets(version).items():
        if each.table is not None and each.table not in found:
            table = await _table(version, each.table, ("odata", "entity_sets", name, "table"), reflect, values)
            if table is not None:
                found[each.table] = table
    return found


async def _table(
    version: Version, named: str, keys: Keys, reflect: Reflect, values: Mapping[str, Value]
) -> Table | None:
    backend, _, name = named.partition(".")
    declared = version.manifest.backends.get(backend)
    if declared is None or declared.sql is None:
        known = [each for each, other in version.manifest.backends.items() if other.sql is not None]
        version.refuse(keys, "unknown-backend", f"there is no sql backend {backend!r}.", near(backend, known))
        return None
    try:
        return await reflect(str(fill(declared.sql.url, _values(version, values))), name)
    except DocumentsRefused as refused:
        for finding in refused.findings:
            version.refuse(keys, finding.code, finding.message, finding.hint)
    except (LookupError, ValueError) as error:
        reason = str(error.args[0] if error.args else error)
        stop = "" if reason.endswith((".", "?")) else "."
        hint = "Give the Environment's file by --environment." if not values and isinstance(error, LookupError) else ""
        version.refuse(keys, "table", f"the table {named} cannot be read: {reason}{stop}", hint)
    except Exception as error:  # a driver's own; its text may hold the URL, and so a password
        hint = "Is the database up, and the backend's url right?"
        version.refuse(keys, "table", f"the table {named} cannot be read ({type(error).__name__}).", hint)
    return None


def _values(version: Version, given: Mapping[str, Value]) -> dict[str, Value]:
    """What the Environment gives, then the defaults of the declarations."""
    declared = version.manifest.values
    defaults = {name: each.default for name, each in declared.items() if each.default is not None}
    return defaults | {name: value for name, value in given.items() if name in declared}


def _sets(version: Version) -> Mapping[str, EntitySet]:
    return version.manifest.odata.entity_sets if version.manifest.odata is not None else {}


def entity_types(version: Version, types: dict[str, Schema], tables: Mapping[str, Table]) -> dict[str, str]:
    """Adds an entity type per set over a table to `types`; gives the type's name by the set's. A name that another
    type has already gives way: `Orders` beside a type `Order` gets `OrdersRow`."""
    found = {}
    for name, each in _sets(version).items():
        if each.table is not None and each.table in tables:
            schema = _row(version, name, each, tables[each.table])
            wanted = (entity_type_name(name), f"{name}Row", f"{name}Table")
            found[name] = next((free for free in wanted if types.get(free, schema) == schema), f"{name}Entity")
            types[found[name]] = schema
    return found


def _row(version: Version, name: str, declared: EntitySet, table: Table) -> Schema:
    keys: Keys = ("odata", "entity_sets", name)
    columns = {column.name: column for column in table.columns}
    for index, wanted in enumerate(declared.columns or ()):
        if wanted not in columns:
            message = f"the table {declared.table} has no column {wanted!r}."
            version.refuse((*keys, "columns", index), "unknown-column", message, near(wanted, columns))
    shown = [column for column in table.columns if declared.columns is None or column.name in declared.columns]
    return {
        "type": "object",
        "properties": {column.name: _column(column) for column in shown},
        "required": [column.name for column in shown],
        "additionalProperties": False,
    }


def _column(column: Column) -> Schema:
    kind = column.type.get("type")
    if not column.nullable or not column.type:
        return column.type
    if isinstance(kind, str) and "enum" not in column.type:
        return column.type | {"type": [kind, "null"]}
    return {"anyOf": [column.type, {"type": "null"}]}
