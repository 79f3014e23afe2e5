"""Values made up for a type, always the same ones: what a mock answers where nobody gave an example."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.core.errors import InvalidInput
from gateway.schema.json_codec import reader
from gateway.schema.types import AnyType, Array, Enumeration, Record, Ref, Scalar, Type, Types

_TEXTS: Final = {
    "datetime": "2024-05-17T09:30:00Z",
    "date": "2024-05-17",
    "time": "09:30:00",
    "duration": "P1D",
    "uuid": "6f1c9a52-3b7e-4d0a-9c58-2a1f0e7d4b63",
    "bytes": "cGVuc3RvY2s=",
}
_DEEP: Final = 6  # records in one another, behind which optional parts are left out and lists are empty


def example_of(schemas: Mapping[str, Any], name: str) -> list[Any]:
    """The examples that the schema of a named type gives itself: `examples`, or `example` as OpenAPI 3.0 has it."""
    schema = schemas.get(name)
    if not isinstance(schema, Mapping):
        return []
    given = schema.get("examples")
    found = list(given) if isinstance(given, list) else []
    return [*found, schema["example"]] if "example" in schema else found


class MadeUp:
    """Makes JSON values for types. `schemas` are those of the named types, for their own examples."""

    def __init__(self, types: Types, schemas: Mapping[str, Any]) -> None:
        self.types = types
        self.schemas = schemas

    def canonical(self, type_: Type, nullable: bool) -> Any:
        """A canonical value. ValueError where none that fits can be made up."""
        try:
            return reader(type_, nullable, self.types)(self.json(type_))
        except InvalidInput as error:
            raise ValueError(f"no value can be made up that fits ({error.target}); give an example") from None

    def json(self, type_: Type, name: str = "text", depth: int = 0) -> Any:
        if isinstance(type_, Ref):
            if given := example_of(self.schemas, type_.name):
                return given[0]
            return self.json(self.types[type_.name], name, depth)
        if isinstance(type_, Record):
            return self._record(type_, depth)
        if isinstance(type_, Array):
            count = type_.min_items if type_.min_items is not None else 0 if depth >= _DEEP else 1
            return [self.json(type_.item, name, depth + 1) for _ in range(count)]
        if isinstance(type_, Enumeration):
            return type_.values[0]
        return {} if isinstance(type_, AnyType) else self._scalar(type_, name)

    def _record(self, record: Record, depth: int) -> dict[str, Any]:
        if depth > 4 * _DEEP:
            raise ValueError(f"the type {record.name} contains itself without end; give an example")
        fields = [part for part in record.fields if part.required or depth < _DEEP]
        return {
            part.name: None if part.nullable and depth >= _DEEP else self.json(part.type, part.name, depth + 1)
            for part in fields
        }

    def _scalar(self, scalar: Scalar, name: str) -> Any:
        if scalar.kind == "string":
            text = name.ljust(scalar.min_length or 0, "x")
            return text[: scalar.max_length]
        if scalar.kind == "boolean":
            return True
        return _TEXTS.get(scalar.kind) or _number(scalar)


def _number(scalar: Scalar) -> int | Decimal | float:
    """1, or the nearest that the facets allow."""
    low = scalar.minimum if scalar.minimum is not None else scalar.exclusive_minimum
    high = scalar.maximum if scalar.maximum is not None else scalar.exclusive_maximum
    value = Decimal(1)
    if low is not None and (value < low or value == scalar.exclusive_minimum):
        value = low + 1 if low == scalar.exclusive_minimum else low
    if high is not None and (value > high or value == scalar.exclusive_maximum):
        value = high - 1 if high == scalar.exclusive_maximum else high
    if scalar.kind in ("int32", "int64"):
        return int(value.to_integral_value())
    return value if scalar.kind == "decimal" else float(value)
