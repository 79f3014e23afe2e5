"""Entity sets of a bundle: over a reflected table, or over an operation that answers a list of records. Pure."""

from __future__ import annotations

from typing import Any

from gateway.core.findings import Finding
from gateway.manifest.bundle import Bundle, Table
from gateway.manifest.documents import EntitySet
from gateway.snapshot.configs import place_of
from gateway.snapshot.spec import ColumnSpec, EntitySetSpec, NavigationSpec, ODataSpec, TableSpec


def odata_spec(bundle: Bundle, findings: list[Finding]) -> ODataSpec:
    declared = bundle.manifest.odata
    assert declared is not None
    sets = {}
    for name, each in declared.entity_sets.items():
        made = _table_set(bundle, name, each, findings) if each.table else _operation_set(bundle, name, each, findings)
        if made is not None:
            sets[name] = made
    namespace = declared.namespace or f"{_name(bundle.component)}.{_name(bundle.version)}"
    return ODataSpec(namespace=namespace, entity_sets=sets, operations=tuple(declared.operations))


def _name(text: str) -> str:
    """A part of a CSDL namespace (SimpleIdentifier): `2.1-rc` → `v2_1_rc`."""
    plain = "".join(char if char.isalnum() else "_" for char in text)
    return f"v{plain}" if plain[:1].isdigit() else plain


def _table_set(bundle: Bundle, name: str, declared: EntitySet, findings: list[Finding]) -> EntitySetSpec | None:
    assert declared.table is not None
    table = bundle.tables.get(declared.table)
    if table is None:
        return None  # resolving has told
    shown = [column for column in table.columns if declared.columns is None or column.name in declared.columns]
    columns = tuple(
        ColumnSpec(name=each.name, schema_=each.type, nullable=each.nullable, primary_key=each.primary_key)
        for each in shown
    )
    key = declared.key or [column.name for column in table.columns if column.primary_key]
    return EntitySetSpec(
        name=name,
        type=bundle.entity_types[name],
        key=tuple(key),
        backend=declared.table.partition(".")[0],
        table=TableSpec(name=table.name, schema_name=table.schema_name, columns=columns),
        navigation=_navigation(bundle, name, declared, findings),
        max_rows=declared.max_rows,
        page_size=declared.page_size,
    )


def _navigation(bundle: Bundle, name: str, declared: EntitySet, findings: list[Finding]) -> dict[str, NavigationSpec]:
    """By the one foreign key between the two tables, whichever side has it."""
    assert bundle.manifest.odata is not None
    assert declared.table is not None
    here = bundle.tables[declared.table]
    found = {}
    for key, navigation in declared.navigation.items():
        target = bundle.manifest.odata.entity_sets.get(navigation.to)
        there = bundle.tables.get(target.table) if target and target.table else None
        ways = (
            [way for way in _ways(here, there, navigation.to) if navigation.many in (None, way.many)] if there else []
        )
        if len(ways) == 1:
            found[key] = ways[0]
            continue
        pointer = f"/odata/entity_sets/{name}/navigation/{key}"
        place = place_of(bundle.places.get(pointer, f"{bundle.name}: odata.entity_sets.{name}.navigation.{key}"))
        count = "no foreign key leads" if not ways else "several foreign keys lead"
        message = f"From the entity set `{name}` {count} to `{navigation.to}`."
        hint = "Say `many: true` or `many: false`." if {way.many for way in ways} == {True, False} else ""
        findings.append(Finding(place, "navigation", message, hint or "Navigation follows one foreign key of a table."))
    return found


def _ways(here: Table, there: Table, to: str) -> list[NavigationSpec]:
    one = [key for key in here.foreign_keys if key.table == there.name]
    many = [key for key in there.foreign_keys if key.table == here.name]
    return [
        *(NavigationSpec(to=to, many=False, on=_pairs(key.columns, key.remote)) for key in one),
        *(NavigationSpec(to=to, many=True, on=_pairs(key.remote, key.columns)) for key in many),
    ]


def _pairs(local: tuple[str, ...], remote: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(local, remote, strict=True))


def _operation_set(bundle: Bundle, name: str, declared: EntitySet, findings: list[Finding]) -> EntitySetSpec | None:
    assert declared.call is not None
    contract = bundle.contracts.get(declared.call)
    place = place_of(bundle.places.get(f"/odata/entity_sets/{name}", f"{bundle.name}: odata.entity_sets.{name}"))
    type_name = _item_type(contract.output) if contract else None
    if contract is None or type_name is None or contract.effect != "safe" or contract.input.get("required"):
        message = f"The entity set `{name}` needs a safe operation that answers a list of a named record."
        hint = "Its parameters must be optional: an entity set gives it none."
        findings.append(Finding(place, "not_an_entity_set", message, hint))
        return None
    if not declared.key:
        message = f"The entity set `{name}` names no key."
        findings.append(Finding(place, "missing_key", message, "Add `key: [property, …]`."))
        return None
    return EntitySetSpec(
        name=name,
        type=type_name,
        key=tuple(declared.key),
        operation=declared.call,
        max_rows=declared.max_rows,
        page_size=declared.page_size,
    )


def _item_type(output: dict[str, Any] | None) -> str | None:
    if not output or output.get("type") != "array":
        return None
    reference = output.get("items", {}).get("$ref", "")
    return reference.removeprefix("#/types/") or None
