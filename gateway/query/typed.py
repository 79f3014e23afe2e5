"""A filter's tree with types: what both evaluators walk. Names, types and literals are checked here, once for both.

Null semantics are OData's (URL conventions, section 5.1.1): `eq` and `ne` compare null as a value and are never null,
the other comparisons are false with a null, arithmetic and functions with a null are null, and `and`, `or`, `not`
have three values; a filter that is null does not match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from gateway.core.errors import BadRequest, NotImplementedHere
from gateway.query import literals
from gateway.query.names import nearest
from gateway.schema.types import Array, Enumeration, Record, Scalar, ScalarKind, Types

Kind = Literal[
    "int", "decimal", "double", "string", "boolean", "datetime", "date", "time", "duration", "uuid", "bytes", "enum",
    "null",
]  # fmt: skip
KINDS: Final[Mapping[ScalarKind, Kind]] = {
    "int32": "int",
    "int64": "int",
    "float": "double",
    "double": "double",
    "decimal": "decimal",
    "string": "string",
    "boolean": "boolean",
    "datetime": "datetime",
    "date": "date",
    "time": "time",
    "duration": "duration",
    "uuid": "uuid",
    "bytes": "bytes",
}
NUMBERS: Final[tuple[Kind, ...]] = ("int", "decimal", "double")
ORDERED: Final = frozenset({*NUMBERS, "string", "datetime", "date", "time", "duration"})


@dataclass(frozen=True, slots=True)
class Value:
    """A literal as a canonical value."""

    value: Any
    kind: Kind


@dataclass(frozen=True, slots=True)
class Property:
    """A field of the entity, or of a record in it."""

    path: tuple[str, ...]
    kind: Kind
    enumeration: Enumeration | None = None

    @property
    def text(self) -> str:
        return "/".join(self.path)


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator or function. `domain` is the kind that its operands are compared or computed in."""

    function: str
    arguments: tuple[Expression, ...]
    kind: Kind
    domain: Kind


Expression = Value | Property | Apply


class Function(NamedTuple):
    """`takes`: the kinds of each argument; `gives`: the kind of the result, None for that of the first argument."""

    takes: tuple[tuple[Kind, ...], ...]
    gives: Kind | None
    optional: int = 0

    @property
    def arity(self) -> tuple[int, int]:
        return len(self.takes) - self.optional, len(self.takes)


_TEXT: Final[tuple[Kind, ...]] = ("string",)
_DAY: Final[tuple[Kind, ...]] = ("datetime", "date")
_CLOCK: Final[tuple[Kind, ...]] = ("datetime", "time")
FUNCTIONS: Final[Mapping[str, Function]] = {
    "contains": Function((_TEXT, _TEXT), "boolean"),
    "startswith": Function((_TEXT, _TEXT), "boolean"),
    "endswith": Function((_TEXT, _TEXT), "boolean"),
    "concat": Function((_TEXT, _TEXT), "string"),
    "indexof": Function((_TEXT, _TEXT), "int"),
    "length": Function((_TEXT,), "int"),
    "substring": Function((_TEXT, ("int",), ("int",)), "string", 1),
    "tolower": Function((_TEXT,), "string"),
    "toupper": Function((_TEXT,), "string"),
    "trim": Function((_TEXT,), "string"),
    "year": Function((_DAY,), "int"),
    "month": Function((_DAY,), "int"),
    "day": Function((_DAY,), "int"),
    "hour": Function((_CLOCK,), "int"),
    "minute": Function((_CLOCK,), "int"),
    "second": Function((_CLOCK,), "int"),
    "date": Function((("datetime",),), "date"),
    "round": Function((NUMBERS,), None),
    "floor": Function((NUMBERS,), None),
    "ceiling": Function((NUMBERS,), None),
}
_COMPARE: Final = {"Eq": "eq", "NotEq": "ne", "Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge", "In": "in"}
_ARITHMETIC: Final = {"Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "Mod": "mod"}


def check_filter(tree: Any, record: Record, types: Types) -> Expression:
    """The typed form of a filter's tree (nodes of odata-query's ast). BadRequest, NotImplementedHere."""
    found = _Checker(record, types).expression(tree)
    if found.kind not in ("boolean", "null"):
        raise _wrong(f"a filter is true or false, and this one is {_a(found.kind)}.")
    return found


def property_of(name: str, record: Record, types: Types, option: str) -> Property:
    """A single property to order or filter by. BadRequest for a name that is not there."""
    if name not in record:
        near = nearest(name, (part.name for part in record.fields))
        raise BadRequest(f"{option}: {record.name} has no property {name[:80]}.{near}", target=option)
    type_ = types.resolve(record[name].type)
    if isinstance(type_, Scalar):
        return Property((name,), KINDS[type_.kind])
    if isinstance(type_, Enumeration):
        return Property((name,), "enum", type_)
    raise NotImplementedHere(f"{option}: the property {name} holds no single value.", target=option)


def _wrong(message: str) -> BadRequest:
    return BadRequest(f"$filter: {message}", target="$filter")


def _missing(part: str) -> NotImplementedHere:
    return NotImplementedHere(f"$filter: {part} is not supported here.", target="$filter")


def _a(kind: Kind) -> str:
    return "null" if kind == "null" else f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _widens(given: Kind, wanted: Kind) -> bool:
    return NUMBERS.index(given) <= NUMBERS.index(wanted)


def _converted(value: Value, kind: Kind) -> Value:
    """A number in another kind of numbers."""
    if value.kind == kind or value.kind not in NUMBERS:
        return value
    return Value(float(value.value), kind) if kind == "double" else Value(Decimal(value.value), kind)


def _member(literal: Value, enumeration: Enumeration) -> Any:
    """The value of the member that a literal names."""
    type_, text = literal.value if literal.kind == "enum" else (enumeration.name, literal.value)
    if type_ != enumeration.name:
        raise _wrong(f"the literal is one of {type_[:80]}, and {enumeration.name} was expected.")
    for name, value in zip(enumeration.names, enumeration.values, strict=True):
        if text in (name, value) and literal.kind in ("string", "enum"):
            return value
    raise _wrong(f"{enumeration.name} has the members {', '.join(enumeration.names[:20])}.")


class _Checker:
    def __init__(self, record: Record, types: Types) -> None:
        self._record = record
        self._types = types

    def expression(self, node: Any) -> Expression:
        kind = type(node).__name__
        method = _NODES.get(kind)
        return method(self, node) if method else self.literal(node)

    def literal(self, node: Any) -> Value:
        read = literals.READERS.get(type(node).__name__)
        if read is None:
            raise _missing("this kind of literal")
        kind, value = read(node.val) if hasattr(node, "val") else read(node)
        return Value(value, kind)

    def identifier(self, node: Any) -> Expression:
        return property_of(node.name, self._record, self._types, "$filter")

    def attribute(self, node: Any) -> Expression:
        """A path of properties within records."""
        names: list[str] = []
        while hasattr(node, "owner"):
            names.append(node.attr)
            node = node.owner
        names.append(node.name)
        record = self._record
        *outer, last = reversed(names)
        for name in outer:
            record = self._inner(record, name)
        found = property_of(last, record, self._types, "$filter")
        return replace(found, path=(*outer, last))

    def _inner(self, record: Record, name: str) -> Record:
        if name not in record:
            property_of(name, record, self._types, "$filter")
        type_ = self._types.resolve(record[name].type)
        if isinstance(type_, Array):
            raise _missing(f"a path through the collection {name}")
        if not isinstance(type_, Record):
            raise _wrong(f"the property {name} has no properties of its own.")
        return type_

    def compare(self, node: Any) -> Expression:
        operator = _COMPARE[type(node.comparator).__name__]
        right = node.right.val if operator == "in" else [node.right]
        arguments = [self.expression(node.left), *(self.expression(item) for item in right)]
        domain, fitted = self._fitted(arguments)
        if operator not in ("eq", "ne", "in") and domain not in ORDERED and domain != "null":
            raise _wrong(f"{_a(domain)} has no order: {operator} cannot compare it.")
        return Apply(operator, fitted, "boolean", domain)

    def _fitted(self, arguments: list[Expression]) -> tuple[Kind, tuple[Expression, ...]]:
        """The kind that all are compared in, and the arguments with their literals in it."""
        enumeration = next(
            (one.enumeration for one in arguments if isinstance(one, Property) and one.enumeration), None
        )
        if enumeration is not None:
            return "enum", tuple(self._of_enumeration(one, enumeration) for one in arguments)
        kinds = {one.kind for one in arguments} - {"null"}
        if kinds <= set(NUMBERS) and kinds:
            domain: Kind = max(kinds, key=NUMBERS.index)
            return domain, tuple(_converted(one, domain) if isinstance(one, Value) else one for one in arguments)
        if len(kinds) > 1:
            first, second = sorted(kinds)[:2]
            raise _wrong(f"{_a(first)} cannot be compared with {_a(second)}.{_advice(kinds)}")
        if kinds == {"enum"}:
            raise _wrong("an enumeration's literal is compared with a property of its type.")
        return (kinds.pop() if kinds else "null"), tuple(arguments)

    def _of_enumeration(self, one: Expression, enumeration: Enumeration) -> Expression:
        if isinstance(one, Value):
            return one if one.kind == "null" else Value(_member(one, enumeration), "enum")
        if isinstance(one, Property) and one.enumeration == enumeration:
            return one
        raise _wrong(f"a property of {enumeration.name} is compared with one of its members.")

    def logic(self, node: Any) -> Expression:
        arguments = (self.expression(node.left), self.expression(node.right))
        operator = type(node.op).__name__.lower()
        for one in arguments:
            if one.kind not in ("boolean", "null"):
                raise _wrong(f"{operator} joins what is true or false, not {_a(one.kind)}.")
        return Apply(operator, arguments, "boolean", "boolean")

    def arithmetic(self, node: Any) -> Expression:
        operator = _ARITHMETIC[type(node.op).__name__]
        arguments = [self.expression(node.left), self.expression(node.right)]
        for one in arguments:
            if one.kind in ("datetime", "date", "time", "duration"):
                raise _missing(f"{operator} with {_a(one.kind)}")
            if one.kind not in NUMBERS:
                raise _wrong(f"{operator} computes with numbers, not with {_a(one.kind)}.")
        domain, fitted = self._fitted(arguments)
        if operator in ("div", "mod"):
            _check_division(operator, fitted[1], domain)
        return Apply(operator, fitted, domain, domain)

    def unary(self, node: Any) -> Expression:
        operand = self.expression(node.operand)
        if type(node.op).__name__ == "Not":
            if operand.kind not in ("boolean", "null"):
                raise _wrong(
                    f"not turns what is true or false, not {_a(operand.kind)}. Put its operand in parentheses."
                )
            return Apply("not", (operand,), "boolean", "boolean")
        if operand.kind not in NUMBERS:
            raise _wrong(f"a minus stands before a number, not before {_a(operand.kind)}.")
        return Apply("neg", (operand,), operand.kind, operand.kind)

    def call(self, node: Any) -> Expression:
        name = node.func.name
        function = FUNCTIONS[name]
        arguments = tuple(self.expression(one) for one in node.args)
        for number, (one, kinds) in enumerate(zip(arguments, function.takes, strict=False), 1):
            if one.kind not in kinds:
                raise _wrong(f"{name} takes {_a(kinds[0])} as argument {number}, not {_a(one.kind)}.")
        if name == "substring":
            _check_positions(arguments[1:])
        return Apply(name, arguments, function.gives or arguments[0].kind, arguments[0].kind)


def _enumeration(arguments: list[Expression]) -> Enumeration | None:
    return next((one.enumeration for one in arguments if isinstance(one, Property) and one.enumeration), None)


def _advice(kinds: set[Kind]) -> str:
    if kinds == {"date", "datetime"}:
        return " Use date(...) of the one, or write the other with its time and offset."
    return " Strings stand in single quotes, other literals do not." if "string" in kinds else ""


def _check_division(operator: str, divisor: Expression, domain: Kind) -> None:
    """Zero divides differently in every database, so the divisor is a literal."""
    if not isinstance(divisor, Value):
        raise _missing(f"{operator} by anything but a literal")
    if not divisor.value:
        raise _wrong(f"{operator} by zero.")
    if operator == "mod" and domain != "int":
        raise _missing("mod with anything but integers")


def _check_positions(positions: tuple[Expression, ...]) -> None:
    for one in positions:
        if not isinstance(one, Value) or one.value < 0:
            raise _missing("substring with positions that are not literals from 0 up")


_NODES: Final[Mapping[str, Callable[[_Checker, Any], Expression]]] = {
    "Identifier": _Checker.identifier,
    "Attribute": _Checker.attribute,
    "Compare": _Checker.compare,
    "BoolOp": _Checker.logic,
    "BinOp": _Checker.arithmetic,
    "UnaryOp": _Checker.unary,
    "Call": _Checker.call,
}
