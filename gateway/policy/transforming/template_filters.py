"""What a template may call: its filters, tests and functions, each of which measures what it is about to make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

import jinja2
from jinja2 import filters
from markupsafe import Markup, escape

from gateway.policy.transforming.rewriting import TooMuch
from gateway.policy.transforming.template_budget import EACH, about_to_make, spend
from gateway.schema.json_exact import dumps, text_of


def counted_range(*bounds: int) -> range:
    made = range(*bounds)
    spend(EACH + len(made))
    if len(made) > 10_000:
        raise TooMuch("loops over more than 10000 numbers")
    return made


def size_of(value: Any) -> int:
    """Of a text, or of the parts of a value. A bound from above of what writing it takes, counted as it is walked."""
    if isinstance(value, str):
        return len(value)
    count, stack = 0, [value]
    while stack:
        part = stack.pop()
        count += len(part) + 2 if isinstance(part, str) else 8
        if isinstance(part, dict):
            for key, each in part.items():
                count += len(str(key)) + 4
                stack.append(each)
        elif isinstance(part, list | tuple):
            stack.extend(part)
        elif isinstance(part, int):
            count += part.bit_length() // 3
        elif isinstance(part, Decimal):
            count += 40 + len(part.as_tuple().digits)
        if count % 1024 < 8:
            spend(count // 1024)
    return count


def as_text(value: Any) -> Any:
    """As it is written where no type says otherwise."""
    if isinstance(value, str | jinja2.Undefined) or hasattr(value, "__html__"):
        return value
    about_to_make(size_of(value))
    return text_of(value)


def _items(value: Any) -> list[Any]:
    found = list(value.items() if isinstance(value, dict) else value)
    spend(EACH + len(found))
    return found


def join(value: Iterable[Any], separator: str = "", attribute: str | None = None) -> Any:
    parts = [_attribute(part, attribute) for part in _items(value)]
    texts = [as_text(part) for part in parts]
    about_to_make(sum(len(text) for text in texts) + len(separator) * len(texts))
    if any(hasattr(text, "__html__") for text in texts):
        return Markup(separator).join(texts)  # noqa: S704 - the separator is of the template
    return str(separator).join(str(text) for text in texts)


def _replace(value: str, old: str, new: str) -> str:
    text = str(as_text(value))
    count = text.count(old) if old else len(text) + 1
    about_to_make(len(text) + count * max(0, len(new) - len(old)))
    return text.replace(old, new)


def _attribute(value: Any, name: str | None) -> Any:
    if name is None:
        return value
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _map(value: Iterable[Any], attribute: str) -> list[Any]:
    return [_attribute(part, attribute) for part in _items(value)]


def _select(value: Iterable[Any], attribute: str, equals: Any = True) -> list[Any]:
    return [part for part in _items(value) if _attribute(part, attribute) == equals]


def _sort(value: Iterable[Any], attribute: str | None = None, reverse: bool = False) -> list[Any]:
    found = _items(value)
    spend(len(found) * 8)
    return sorted(found, key=lambda part: _attribute(part, attribute), reverse=reverse)


def _sum(value: Iterable[Any], attribute: str | None = None) -> Any:
    numbers = [_attribute(part, attribute) for part in _items(value)]
    if any(isinstance(number, bool) or not isinstance(number, int | float | Decimal) for number in numbers):
        raise ValueError("sum takes numbers")
    if any(isinstance(number, Decimal) for number in numbers):
        numbers = [number if isinstance(number, Decimal) else Decimal(repr(number)) for number in numbers]
    return sum(numbers)


def as_json(value: Any) -> Markup:
    about_to_make(size_of(value))
    return Markup(dumps(value).decode())  # noqa: S704 - JSON text, in templates that make JSON or text


def _inside(value: Any) -> Markup:
    """For a place between the quotes of a JSON string."""
    return Markup(as_json(str(as_text(value)))[1:-1])  # noqa: S704 - escaped as JSON


def _sized(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose result is no longer than what it gets, or by a constant factor."""

    def filtered(value: Any, *given: Any, **named: Any) -> Any:
        text = str(as_text(value)) if not isinstance(value, list | dict) else value
        about_to_make(size_of(text) * 2)
        return filter_(text, *given, **named)

    return filtered


def _number(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def converted(value: Any) -> Any:
        if isinstance(value, str) and len(value) > 400:
            raise ValueError("a number has at most 400 characters here")
        spend()
        return convert(value)

    return converted


def _first(value: Any) -> Any:
    spend()
    return value[0] if isinstance(value, list | str) and value else None


def _last(value: Any) -> Any:
    spend()
    return value[-1] if isinstance(value, list | str) and value else None


def _unique(value: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(_items(value)))


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "default": filters.do_default,
    "d": filters.do_default,
    "lower": _sized(str.lower),
    "upper": _sized(str.upper),
    "trim": _sized(str.strip),
    "title": _sized(str.title),
    "capitalize": _sized(str.capitalize),
    "string": as_text,
    "urlencode": lambda value: filters.do_urlencode(_sized(str)(value) if not isinstance(value, dict) else value),
    "length": len,
    "count": len,
    "int": _number(int),
    "float": _number(float),
    "decimal": _number(lambda value: Decimal(value) if isinstance(value, str | int) else Decimal(repr(value))),
    "abs": _number(abs),
    "round": lambda value, digits=0: round(value, max(-20, min(20, int(digits)))),
    "first": _first,
    "last": _last,
    "list": _items,
    "reverse": lambda value: _items(value)[::-1],
    "unique": _unique,
    "items": _items,
    "join": join,
    "replace": _replace,
    "map": _map,
    "where": _select,
    "sort": _sort,
    "sum": _sum,
    "min": lambda value: min(_items(value)),
    "max": lambda value: max(_items(value)),
    "tojson": as_json,
    "inside": _inside,
    "escape": lambda value: escape(as_text(value)),
    "e": lambda value: escape(as_text(value)),
}  # fmt: skip
TESTS: Final = (
    "defined", "undefined", "none", "boolean", "false", "true", "integer", "float", "number", "string", "mapping",
    "sequence", "iterable", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", ">=", "ge", "<", "lt",
    "lessthan", "<=", "le", "odd", "even", "divisibleby",
)  # fmt: skip
