"""Python annotations to the type table, with the conversions between canonical values and what the code wants.

| annotation | type |
|---|---|
| int, float, Decimal, str, bool, bytes | int64, double, decimal, string, boolean, bytes |
| datetime, date, time, timedelta, UUID | the same |
| `Annotated[int, Field(json_schema_extra={"format": "int32"})]` | int32; so "float" for float |
| Enum, IntEnum, StrEnum | an enumeration named as the class |
| Literal of strings or of integers | an enumeration without a name of its own |
| list[X], tuple[X, ...], Sequence[X] | a list |
| a pydantic model, dataclass or TypedDict | a record named as the class |
| X or None, Optional[X] | X, nullable |
| Any | any JSON |
"""

from __future__ import annotations

import collections.abc
import datetime
import enum
import inspect
import re
import types as python_types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NewType, Union
from uuid import UUID

from pydantic import BaseModel
from typing_inspection import typing_objects

from gateway.runtime.constraints import Constraints, Unsupported, constraints, restrict
from gateway.runtime.members import MISSING, ClassKind, Member, class_kind, description, members
from gateway.schema.enumerations import member_names
from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, ScalarKind, Type, Types

Convert = Callable[[Any], Any]
_SCALARS: Final[dict[Any, ScalarKind]] = {
    int: "int64",
    float: "double",
    Decimal: "decimal",
    str: "string",
    bool: "boolean",
    bytes: "bytes",
    datetime.datetime: "datetime",
    datetime.date: "date",
    datetime.time: "time",
    datetime.timedelta: "duration",
    UUID: "uuid",
}
_LISTS: Final = (list, tuple, collections.abc.Sequence)
_SUPPORTED: Final = (
    "Use a pydantic model, a dataclass or a TypedDict, list[X], X | None, an Enum, a Literal, or one of "
    "int, float, Decimal, str, bool, bytes, datetime, date, time, timedelta, UUID, Any."
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an annotation means. `load` makes of a canonical value what the code wants, `dump` goes back;
    None: nothing to do. Both may raise TypeError, ValueError or AttributeError for what does not fit."""

    type: Type
    nullable: bool = False
    load: Convert | None = None
    dump: Convert | None = None


_ANY: Final = Shape(AnyType())


class Annotations:
    """Reads annotations and collects the named types that they mention."""

    def __init__(self) -> None:
        self.named: dict[str, Record | Enumeration] = {}
        self._classes: dict[str, Any] = {}
        self._shapes: dict[str, Shape] = {}

    @property
    def types(self) -> Types:
        return Types(dict(self.named))

    def read(self, annotation: Any, name: str, metadata: Sequence[Any] = ()) -> Shape:
        """`name` is for an enumeration that has none. Unsupported says what cannot be read, and what to write."""
        annotation, metadata = _unwrapped(annotation, tuple(metadata))
        said = constraints(metadata)
        if annotation in (Any, object):
            return _ANY
        if typing.get_origin(annotation) in (Union, python_types.UnionType):
            return self._union(annotation, name, metadata)
        if _is_plain(annotation) and annotation in _SCALARS:
            return Shape(restrict(_SCALARS[annotation], said))
        if typing.get_origin(annotation) is Literal:
            return _literal(annotation, name)
        if typing.get_origin(annotation) in _LISTS:
            return self._list(annotation, name, said)
        if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
            return self._enumeration(annotation)
        kind = class_kind(annotation)
        if kind is None:
            raise _unsupported(annotation)
        return self._record(annotation, kind)

    def field(self, member: Member, owner: str) -> tuple[Field, Shape]:
        """A record's field or a function's parameter."""
        shape = self.read(member.annotation, f"{owner}_{member.name}", member.metadata)
        said = constraints(_unwrapped(member.annotation, member.metadata)[1])
        default = None
        if member.default is not MISSING and member.default is not None:
            default = member.default if shape.dump is None else shape.dump(member.default)
        return (
            Field(
                member.name,
                shape.type,
                member.required,
                shape.nullable,
                default,
                said.description,
                bool(said.extra.get("readOnly", False)),
                said.title,
            ),
            shape,
        )

    def _member(self, cls: Any, member: Member, owner: str) -> tuple[Field, Shape]:
        try:
            return self.field(member, owner)
        except Unsupported as error:
            raise Unsupported(f"{cls.__name__}.{member.attribute}: {error}", error.hint) from None

    def _union(self, annotation: Any, name: str, metadata: Sequence[Any]) -> Shape:
        rest = [each for each in typing.get_args(annotation) if each is not type(None)]
        if len(rest) != 1:
            raise Unsupported(f"{_spelled(annotation)} is a union", "Use one record with optional fields.")
        shape = self.read(rest[0], name, metadata)
        if isinstance(shape.type, AnyType):
            return shape
        return Shape(shape.type, True, _or_none(shape.load), _or_none(shape.dump))

    def _list(self, annotation: Any, name: str, said: Constraints) -> Shape:
        arguments = typing.get_args(annotation)
        is_tuple = typing.get_origin(annotation) is tuple
        if is_tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
            raise Unsupported(f"{_spelled(annotation)} is a tuple of fixed length", "Use list[X] or tuple[X, ...].")
        if set(said.facets) - {"min_length", "max_length"}:
            raise Unsupported("a list takes no other limits than its length", "Put them on its items.")
        item = self.read(arguments[0], name)
        limits = said.facets.get("min_length"), said.facets.get("max_length")
        load = _each(item.load, tuple) if is_tuple else None if item.load is None else _each(item.load, list)
        return Shape(Array(item.type, item.nullable, *limits), False, load, _each(item.dump, list))

    def _claim(self, cls: Any) -> str:
        """The name of a class in the table; two classes cannot share one."""
        name = re.sub(r"\W+", "_", cls.__name__).strip("_")
        if self._classes.setdefault(name, cls) is not cls:
            both = f"{_spelled(self._classes[name])} and {_spelled(cls)}"
            raise Unsupported(f"two classes are named {name}: {both}", "Rename one of them.")
        return name

    def _enumeration(self, cls: type[enum.Enum]) -> Shape:
        name = self._claim(cls)
        values = tuple(member.value for member in cls)
        if issubclass(cls, enum.Flag) or not _are_members(values):
            raise Unsupported(f"{cls.__name__} is no enumeration of strings or of integers", "Give it such values.")
        names = tuple(member.name for member in cls)
        self.named[name] = Enumeration(name, values, names, description(cls))
        return Shape(Ref(name), False, cls, _member_value)

    def _record(self, cls: Any, kind: ClassKind) -> Shape:
        name = self._claim(cls)
        if name in self._shapes:
            return self._shapes[name]
        inner: dict[str, Convert] = {}
        shape = Shape(
            Ref(name),
            False,
            lambda value: inner["load"](value),  # noqa: PLW0108 - they are made below, after what the class contains
            lambda value: inner["dump"](value),  # noqa: PLW0108
        )
        self._shapes[name] = shape
        read = [(member, *self._member(cls, member, name)) for member in members(cls, kind)]
        self.named[name] = Record(name, tuple(field for _, field, _ in read), description(cls))
        parts = tuple((member.name, member.attribute, shape) for member, _, shape in read)
        inner["load"] = cls.model_validate if kind == "model" else _loader(cls, kind, parts)
        inner["dump"] = _dumper(cls, kind, parts, inner["load"])
        return shape


Parts = tuple[tuple[str, str, Shape], ...]


def _loader(cls: Any, kind: ClassKind, parts: Parts) -> Convert:
    loads = {name: (attribute, shape.load) for name, attribute, shape in parts}

    def load(value: dict[str, Any]) -> Any:
        made = {}
        for name, part in value.items():
            attribute, convert = loads[name]
            made[attribute] = part if convert is None else convert(part)
        return cls(**made) if kind == "dataclass" else made

    return load


def _dumper(cls: Any, kind: ClassKind, parts: Parts, load: Convert) -> Convert:
    """From an instance by its attributes; a dict passes for what it describes."""
    conversions = tuple((name, attribute, shape.dump) for name, attribute, shape in parts)
    dumps = {name: shape.dump for name, _, shape in parts}

    def dump_dict(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise TypeError(f"must be a dict of {cls.__name__}, not {type(value).__name__}")
        return {key: part if (convert := dumps.get(key)) is None else convert(part) for key, part in value.items()}

    def dump(value: Any) -> dict[str, Any]:
        if not isinstance(value, cls):
            if not isinstance(value, dict):
                raise TypeError(f"must be {cls.__name__}, not {type(value).__name__}")
            value = load(value)
        return {
            name: part if convert is None else convert(part)
            for name, attribute, convert in conversions
            for part in (getattr(value, attribute),)
        }

    return dump_dict if kind == "typed dict" else dump


def _unwrapped(annotation: Any, metadata: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Without `Annotated`, `NewType` and type aliases; the metadata of the outer ones first."""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation, *inner = typing.get_args(annotation)
            metadata = (*metadata, *inner)
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif typing_objects.is_typealiastype(annotation):
            annotation = annotation.__value__
        else:
            return annotation, metadata


def _is_plain(annotation: Any) -> bool:
    return inspect.isclass(annotation) and typing.get_origin(annotation) is None


def _literal(annotation: Any, name: str) -> Shape:
    given = typing.get_args(annotation)
    values = tuple(value for value in given if value is not None)
    if not values or not _are_members(values):
        raise Unsupported(f"{_spelled(annotation)} is no enumeration", "Use strings only or integers only.")
    return Shape(Enumeration(name, values, member_names(values)), None in given)


def _are_members(values: tuple[Any, ...]) -> bool:
    kinds = {bool if isinstance(value, bool) else str if isinstance(value, str) else type(value) for value in values}
    return kinds in ({str}, {int})


def _member_value(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def _or_none(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda value: None if value is None else convert(value)


def _each(convert: Convert | None, kind: Callable[[Any], Any]) -> Convert:
    def convert_each(value: Any) -> Any:
        if isinstance(value, str | bytes | dict):
            raise TypeError(f"must be a list, not {type(value).__name__}")
        return kind(value if convert is None else map(convert, value))

    return convert_each


def _spelled(annotation: Any) -> str:
    if not inspect.isclass(annotation) or typing.get_origin(annotation) is not None:
        return str(annotation)
    return (
        annotation.__name__
        if annotation.__module__ == "builtins"
        else f"{annotation.__module__}.{annotation.__qualname__}"
    )


def _unsupported(annotation: Any) -> Unsupported:
    bare = {list: "list[X]", tuple: "tuple[X, ...]"}
    if annotation in bare:
        return Unsupported(f"{_spelled(annotation)} does not say of what", f"Write {bare[annotation]}.")
    if annotation is dict or typing.get_origin(annotation) is dict:
        return Unsupported(f"{_spelled(annotation)} names no fields", "Use a TypedDict, or Any for any JSON.")
    if annotation is BaseModel:
        return Unsupported("BaseModel itself names no fields", "Name a model of your own.")
    return Unsupported(f"{_spelled(annotation)} has no place in a contract", _SUPPORTED)
