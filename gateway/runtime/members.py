"""The fields of the three kinds of class that a contract may name: pydantic models, dataclasses, TypedDicts."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired, Required

import typing_extensions
from pydantic import BaseModel, PydanticUndefinedAnnotation, PydanticUserError, RootModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.runtime.constraints import Unsupported

MISSING: Final = object()
ClassKind = Literal["model", "dataclass", "typed dict"]
_QUALIFIERS: Final = {
    Required: True,
    typing_extensions.Required: True,
    NotRequired: False,
    typing_extensions.NotRequired: False,
}


@dataclass(frozen=True, slots=True)
class Member:
    """`name` is what the contract says, `attribute` what the class says; they differ where a model has an alias."""

    name: str
    attribute: str
    annotation: Any
    metadata: tuple[Any, ...] = ()
    required: bool = True
    default: Any = MISSING


def class_kind(annotation: Any) -> ClassKind | None:
    """Which of the three a class is; None for anything else."""
    if typing_extensions.is_typeddict(annotation):
        return "typed dict"
    if not inspect.isclass(annotation):
        return None
    if issubclass(annotation, BaseModel):
        return "model"
    return "dataclass" if dataclasses.is_dataclass(annotation) else None


def members(cls: Any, kind: ClassKind) -> list[Member]:
    """The fields in their written order. Unsupported for what has no form in a contract."""
    if kind == "model":
        return list(_of_model(cls))
    if kind == "dataclass":
        return list(_of_dataclass(cls))
    return list(_of_typed_dict(cls))


def description(cls: Any) -> str:
    """The class's own docstring; not the one that `dataclass` makes up."""
    text = cls.__dict__.get("__doc__") or ""
    return "" if text.startswith(f"{cls.__name__}(") else inspect.cleandoc(text)


def _of_model(cls: type[BaseModel]) -> Iterator[Member]:
    if issubclass(cls, RootModel):
        raise Unsupported(f"{cls.__name__} is a RootModel", "Name the type that it wraps.")
    if cls.model_config.get("extra") == "allow":
        raise Unsupported(f"{cls.__name__} takes any extra field", 'Name the fields, or use extra="forbid".')
    try:
        cls.model_rebuild()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise Unsupported(f"{cls.__name__} is not complete: {reason}", "Define what it refers to.") from error
    for attribute, info in cls.model_fields.items():
        yield _of_info(cls, attribute, info)


def _of_info(cls: type, attribute: str, info: FieldInfo) -> Member:
    name = info.alias or attribute
    if info.validation_alias not in (None, name) or info.serialization_alias not in (None, name):
        raise Unsupported(f"{cls.__name__}.{attribute} has two names", "Give it one alias for both directions.")
    default = MISSING if info.default is PydanticUndefined or info.is_required() else info.default
    return Member(name, attribute, info.annotation, (info,), info.is_required(), default)


def hints(thing: Any) -> dict[str, Any]:
    """Annotations with `Annotated` kept. Unsupported names a name that cannot be resolved."""
    try:
        return typing_extensions.get_type_hints(thing, include_extras=True)
    except NameError as error:
        name = getattr(thing, "__qualname__", repr(thing))
        hint = "Import it at the module's top level, not under TYPE_CHECKING and not inside a function."
        raise Unsupported(f"the annotations of {name} use {error.name!r}, which is not defined there", hint) from None
    except (PydanticUserError, TypeError, AttributeError, SyntaxError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise Unsupported(f"an annotation cannot be read: {reason}", "Correct it.") from error


def _of_dataclass(cls: Any) -> Iterator[Member]:
    resolved = hints(cls)
    infos: dict[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
    for part in dataclasses.fields(cls):
        if not part.init:
            raise Unsupported(f"{cls.__name__}.{part.name} has init=False", "Make it a property.")
        if part.name in infos:
            yield _of_info(cls, part.name, infos[part.name])
            continue
        fresh = part.default_factory is not dataclasses.MISSING
        required = part.default is dataclasses.MISSING and not fresh
        default = MISSING if part.default is dataclasses.MISSING else part.default
        yield Member(part.name, part.name, resolved[part.name], (), required, default)


def _of_typed_dict(cls: Any) -> Iterator[Member]:
    for name, annotation in hints(cls).items():
        required = name in cls.__required_keys__  # wrong for qualifiers that were strings: those are read below
        while typing.get_origin(annotation) in _QUALIFIERS:
            required = _QUALIFIERS[typing.get_origin(annotation)]
            (annotation,) = typing.get_args(annotation)  # noqa: PLW2901 - peeled layer by layer
        yield Member(name, name, annotation, (), required)
