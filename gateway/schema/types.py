"""The type table's own form: what JSON Schema and Python annotations are read into, and XSD and EDM written from.

A *canonical value* is how a value travels inside the gateway, between any frontend and any backend:

| type | canonical value |
|---|---|
| int32, int64 | int |
| float, double | float |
| decimal | decimal.Decimal |
| string | str |
| boolean | bool |
| datetime | datetime.datetime with an offset |
| date, time, duration | datetime.date, datetime.time, datetime.timedelta |
| uuid | uuid.UUID |
| bytes | bytes |
| Enumeration | the member's value, a str or an int |
| Array | list |
| Record | dict by field name; an absent optional field is not in it |
| Any | what JSON has: dict, list, str, int, float, bool, None |
| a nullable one | None as well |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any as AnyValue
from typing import Literal

ScalarKind = Literal[
    "int32",
    "int64",
    "float",
    "double",
    "decimal",
    "string",
    "boolean",
    "datetime",
    "date",
    "time",
    "duration",
    "uuid",
    "bytes",
]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts. Facets that are None are not restricted. Lengths count characters, of bytes octets."""

    kind: ScalarKind
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None  # ECMA 262, as JSON Schema has it; unanchored
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    exclusive_minimum: Decimal | None = None
    exclusive_maximum: Decimal | None = None
    precision: int | None = None  # decimal: digits in all
    scale: int | None = None  # decimal: digits behind the point


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Named members; `values` are what JSON carries, `names` what XSD and EDM call them."""

    name: str
    values: tuple[str, ...] | tuple[int, ...]
    names: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Array:
    item: Type
    nullable_items: bool = False
    min_items: int | None = None
    max_items: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A part of a record. `required`: it must be there; `nullable`: it may be null."""

    name: str
    type: Type
    required: bool = True
    nullable: bool = False
    default: AnyValue = None  # canonical; used when an optional field is absent and it is not None
    description: str = ""
    read_only: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Named fields in their written order; what is not named is refused."""

    name: str
    fields: tuple[Field, ...]
    description: str = ""
    title: str = ""

    def __getitem__(self, name: str) -> Field:
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(candidate.name == name for candidate in self.fields)


@dataclass(frozen=True, slots=True)
class Ref:
    """A named Record or Enumeration of the version's `Types`; how types recur."""

    name: str


@dataclass(frozen=True, slots=True)
class AnyType:
    """Any JSON value: a schema without a type. SOAP carries it as text of JSON, OData not at all."""


Type = Scalar | Enumeration | Array | Record | Ref | AnyType


@dataclass(frozen=True, slots=True)
class Types(Mapping[str, Record | Enumeration]):
    """The named types of one version. `aliases` are names of anything else, with whether they may be null; they are
    put in place where a schema refers to them, so that no `Ref` ever names one."""

    named: Mapping[str, Record | Enumeration] = field(default_factory=dict)
    aliases: Mapping[str, tuple[Type, bool]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Record | Enumeration:
        return self.named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.named)

    def __len__(self) -> int:
        return len(self.named)

    def resolve(self, type_: Type) -> Scalar | Enumeration | Array | Record | AnyType:
        """The type behind a reference. KeyError names a type that does not exist."""
        return self.named[type_.name] if isinstance(type_, Ref) else type_


@dataclass(frozen=True, slots=True)
class DeclaredError:
    """An error that an operation declares: in REST its status, in SOAP a typed fault, in OData its code."""

    code: str
    status: int
    title: str
    detail: Type | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """Named and typed. `input` has a field per parameter; `output` None: nothing comes back."""

    name: str
    effect: Literal["safe", "idempotent", "writing"]
    input: Record
    output: Type | None = None
    output_nullable: bool = False
    errors: tuple[DeclaredError, ...] = ()
    summary: str = ""
    description: str = ""
