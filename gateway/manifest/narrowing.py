"""Whether a type still fits those who know the old one: what is sent must still be taken, what comes still be known.

Pure. `given` is what consumers send (it must not get narrower), otherwise what they get (nothing of it may go away or
become something else).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from gateway.schema.types import AnyType, Array, Enumeration, Field, Record, Ref, Scalar, Type, Types

Refuse = Callable[[str, str], None]  # (path of the part, what changed)

_LOWER: Final = ("min_length", "minimum", "exclusive_minimum", "min_items")
_UPPER: Final = ("max_length", "maximum", "exclusive_maximum", "max_items", "precision", "scale")


@dataclass(slots=True)
class Comparison:
    """One direction of one contract, old against new."""

    old: Types
    new: Types
    given: bool
    refuse: Refuse
    seen: set[tuple[str, str]] = field(default_factory=set)

    def types(self, old: Type, new: Type, path: str) -> None:
        if isinstance(old, Ref) and isinstance(new, Ref):
            if (old.name, new.name) in self.seen:
                return
            self.seen.add((old.name, new.name))
        before, after = self.old.resolve(old), self.new.resolve(new)
        wider, narrower = (after, before) if self.given else (before, after)
        if isinstance(wider, AnyType):
            return
        if type(before) is not type(after) or isinstance(narrower, AnyType):
            self.refuse(path, f"is {_word(after)} now, no longer {_word(before)}")
        elif isinstance(before, Record) and isinstance(after, Record):
            self.records(before, after, path)
        elif isinstance(before, Array) and isinstance(after, Array):
            self.arrays(before, after, path)
        elif isinstance(before, Enumeration) and isinstance(after, Enumeration):
            self.members(before, after, path)
        elif isinstance(before, Scalar) and isinstance(after, Scalar):
            self.scalars(before, after, path)

    def records(self, before: Record, after: Record, path: str) -> None:
        for part in before.fields:
            where = f"{path}.{part.name}" if path else part.name
            if part.name not in after:
                self.refuse(where, "is refused now" if self.given else "is gone")
            else:
                self.fields(part, after[part.name], where)
        if self.given:
            for part in after.fields:
                if part.name not in before and part.required:
                    where = f"{path}.{part.name}" if path else part.name
                    self.refuse(where, "is new and required")

    def fields(self, before: Field, after: Field, path: str) -> None:
        if self.given and after.required and not before.required:
            self.refuse(path, "is required now")
        if not self.given and before.required and not after.required:
            self.refuse(path, "may be absent now")
        self.nullable(before.nullable, after.nullable, path)
        self.types(before.type, after.type, path)

    def nullable(self, before: bool, after: bool, path: str) -> None:
        if self.given and before and not after:
            self.refuse(path, "may no longer be null")
        if not self.given and after and not before:
            self.refuse(path, "may be null now")

    def arrays(self, before: Array, after: Array, path: str) -> None:
        if self.given:
            self.bounds(before, after, path)
        self.nullable(before.nullable_items, after.nullable_items, f"{path}[]")
        self.types(before.item, after.item, f"{path}[]")

    def members(self, before: Enumeration, after: Enumeration, path: str) -> None:
        old, new = set(map(str, before.values)), set(map(str, after.values))
        if self.given and old - new:
            self.refuse(path, f"no longer takes {', '.join(sorted(old - new))}")
        if not self.given and new - old:
            self.refuse(path, f"may be {', '.join(sorted(new - old))} now")

    def scalars(self, before: Scalar, after: Scalar, path: str) -> None:
        if before.kind != after.kind:
            self.refuse(path, f"is {after.kind} now, no longer {before.kind}")
        elif self.given:
            self.bounds(before, after, path)
            if after.pattern is not None and after.pattern != before.pattern:
                self.refuse(path, f"must match {after.pattern} now")

    def bounds(self, before: Scalar | Array, after: Scalar | Array, path: str) -> None:
        for names, tighter in ((_LOWER, _higher), (_UPPER, _lower)):
            for name in names:
                old, new = getattr(before, name, None), getattr(after, name, None)
                if new is not None and new != old and (old is None or tighter(new, old)):
                    self.refuse(path, f"has {name.replace('_', ' ')} {new} now{'' if old is None else f', not {old}'}")


def _higher(new: Decimal, old: Decimal) -> bool:
    return new > old


def _lower(new: Decimal, old: Decimal) -> bool:
    return new < old


def _word(type_: Type) -> str:
    if isinstance(type_, Scalar):
        return type_.kind
    return {Record: "an object", Array: "a list", Enumeration: "an enumeration"}.get(type(type_), "any JSON")
