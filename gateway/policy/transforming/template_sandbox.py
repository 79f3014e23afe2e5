"""Templates in a sandbox that bounds their work: jinja2's ImmutableSandboxedEnvironment, with less in it.

What a template can do is listed, not what it cannot: filters, methods, operators. Everything that can repeat or
grow is counted against a budget: turns of loops and the text in them, calls, filters, what is joined or written.
Sizes are known before the text is made, so that none is ever made that is too large. A budget that ends raises
TooMuch. Loaded only where a step has a template.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Final, Literal

import jinja2
from jinja2 import filters, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from gateway.policy.transforming.rewriting import Later, TooMuch
from gateway.schema.json_exact import dumps, text_of

Output = Literal["json", "xml", "html", "text"]

LONGEST: Final = 65_536  # characters of a template
AT_ONCE: Final = 20_000  # units of work that are done on the loop: a few milliseconds
_EACH: Final = 50  # units of a turn, a call, a filter
_CHARACTERS: Final = 16  # that are one unit


class Budget:
    """Work that is left, and when it must be done."""

    __slots__ = ("_limit", "_size", "_until", "_work", "final")

    def __init__(self, work: int, size: int, seconds: float, final: bool = True) -> None:
        self._work = work
        self._size = self._limit = size
        self._until = time.monotonic() + seconds
        self.final = final

    def spend(self, units: int) -> None:
        self._work -= units
        if self._work < 0:
            raise TooMuch("does more work than it may") if self.final else Later
        if time.monotonic() > self._until:
            raise TooMuch("takes longer than it may") if self.final else Later

    def made(self, characters: int) -> None:
        """A text of this length is about to be made."""
        if characters > self._limit:
            raise TooMuch(f"makes a text of more than {self._limit} characters")
        self.spend(_EACH + characters // _CHARACTERS)

    def written(self, characters: int) -> None:
        """It goes out."""
        self._size -= characters
        if self._size < 0:
            raise TooMuch(f"writes more than {self._limit} characters")
        self.spend(1 + characters // _CHARACTERS)


_budget: Final[ContextVar[Budget | None]] = ContextVar("budget", default=None)


def _spend(units: int = _EACH) -> None:
    budget = _budget.get()
    if budget is not None:  # None: a constant, while the template is compiled
        budget.spend(units)


def _made(characters: int) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.made(characters)
    elif characters > LONGEST:
        raise TooMuch(f"makes a text of more than {LONGEST} characters")


# what a template may call

_METHODS: Final[Mapping[type, frozenset[str]]] = {
    str: frozenset(
        (
            "lower", "upper", "strip", "lstrip", "rstrip", "startswith", "endswith", "split", "splitlines", "title",
            "capitalize", "find", "isdigit", "isalpha", "isalnum", "removeprefix", "removesuffix", "partition", "count",
        )
    ),
    dict: frozenset(("get", "items", "keys", "values")),
    list: frozenset(("index", "count")),
}  # fmt: skip

_LOOP: Final = frozenset(
    (
        "index",
        "index0",
        "revindex",
        "revindex0",
        "first",
        "last",
        "length",
        "depth",
        "depth0",
        "previtem",
        "nextitem",
        "changed",
        "cycle",
    )
)


def _range(*bounds: int) -> range:
    made = range(*bounds)
    _spend(_EACH + len(made))
    if len(made) > 10_000:
        raise TooMuch("loops over more than 10000 numbers")
    return made


def _size(value: Any) -> int:
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
            _spend(count // 1024)
    return count


def _text(value: Any) -> Any:
    """As it is written where no type says otherwise."""
    if isinstance(value, str | jinja2.Undefined) or hasattr(value, "__html__"):
        return value
    _made(_size(value))
    return text_of(value)


def _items(value: Any) -> list[Any]:
    found = list(value.items() if isinstance(value, dict) else value)
    _spend(_EACH + len(found))
    return found


def _join(value: Iterable[Any], separator: str = "", attribute: str | None = None) -> Any:
    parts = [_attribute(part, attribute) for part in _items(value)]
    texts = [_text(part) for part in parts]
    _made(sum(len(text) for text in texts) + len(separator) * len(texts))
    if any(hasattr(text, "__html__") for text in texts):
        return Markup(separator).join(texts)  # noqa: S704 - the separator is of the template
    return str(separator).join(str(text) for text in texts)


def _replace(value: str, old: str, new: str) -> str:
    text = str(_text(value))
    count = text.count(old) if old else len(text) + 1
    _made(len(text) + count * max(0, len(new) - len(old)))
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
    _spend(len(found) * 8)
    return sorted(found, key=lambda part: _attribute(part, attribute), reverse=reverse)


def _sum(value: Iterable[Any], attribute: str | None = None) -> Any:
    numbers = [_attribute(part, attribute) for part in _items(value)]
    if any(isinstance(number, bool) or not isinstance(number, int | float | Decimal) for number in numbers):
        raise ValueError("sum takes numbers")
    if any(isinstance(number, Decimal) for number in numbers):
        numbers = [number if isinstance(number, Decimal) else Decimal(repr(number)) for number in numbers]
    return sum(numbers)


def _json(value: Any) -> Markup:
    _made(_size(value))
    return Markup(dumps(value).decode())  # noqa: S704 - JSON text, in templates that make JSON or text


def _inside(value: Any) -> Markup:
    """For a place between the quotes of a JSON string."""
    return Markup(_json(str(_text(value)))[1:-1])  # noqa: S704 - escaped as JSON


def _sized(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose result is no longer than what it gets, or by a constant factor."""

    def filtered(value: Any, *given: Any, **named: Any) -> Any:
        text = str(_text(value)) if not isinstance(value, list | dict) else value
        _made(_size(text) * 2)
        return filter_(text, *given, **named)

    return filtered


def _number(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def converted(value: Any) -> Any:
        if isinstance(value, str) and len(value) > 400:
            raise ValueError("a number has at most 400 characters here")
        _spend()
        return convert(value)

    return converted


def _first(value: Any) -> Any:
    _spend()
    return value[0] if isinstance(value, list | str) and value else None


def _last(value: Any) -> Any:
    _spend()
    return value[-1] if isinstance(value, list | str) and value else None


def _unique(value: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(_items(value)))


_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "default": filters.do_default,
    "d": filters.do_default,
    "lower": _sized(str.lower),
    "upper": _sized(str.upper),
    "trim": _sized(str.strip),
    "title": _sized(str.title),
    "capitalize": _sized(str.capitalize),
    "string": _text,
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
    "join": _join,
    "replace": _replace,
    "map": _map,
    "where": _select,
    "sort": _sort,
    "sum": _sum,
    "min": lambda value: min(_items(value)),
    "max": lambda value: max(_items(value)),
    "tojson": _json,
    "inside": _inside,
    "escape": lambda value: escape(_text(value)),
    "e": lambda value: escape(_text(value)),
}  # fmt: skip
_TESTS: Final = (
    "defined", "undefined", "none", "boolean", "false", "true", "integer", "float", "number", "string", "mapping",
    "sequence", "iterable", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan", ">=", "ge", "<", "lt",
    "lessthan", "<=", "le", "odd", "even", "divisibleby",
)  # fmt: skip
_FORBIDDEN: Final = (
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
    nodes.Block,
    nodes.FilterBlock,
    nodes.EvalContextModifier,
)
_COUNTED: Final = "__turns"
_CONCAT: Final = "__concat"


def _turns(value: Any, units: int) -> Iterator[Any]:
    for part in value:
        _spend(units)
        yield part


def _concat(parts: tuple[Any, ...] | list[Any]) -> Any:
    return _join(parts)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _check(tree)
        literal = sum(len(data.data) for data in tree.find_all(nodes.TemplateData))
        self.call_units = (
            _EACH + literal // _CHARACTERS if next(tree.find_all((nodes.Macro, nodes.CallBlock)), None) else _EACH
        )
        _count_turns(tree)
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if not super().is_safe_attribute(obj, attr, value):
            return False
        if isinstance(obj, jinja2.runtime.LoopContext):
            return attr in _LOOP
        return any(isinstance(obj, type_) and attr in names for type_, names in _METHODS.items())

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A member of an object comes before a method of the same name: `body.items` is what the client sent."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> Any:
        """Formatting makes texts of any length, and reads attributes."""
        if getattr(value, "__name__", "") in ("format", "format_map"):
            raise SecurityError("texts cannot be formatted in templates")
        return None

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, jinja2.runtime.Macro | jinja2.runtime.LoopContext) or obj is _range:
            return True
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, jinja2.runtime.LoopContext):
            return name in ("cycle", "changed")
        return any(isinstance(owner, type_) and name in names for type_, names in _METHODS.items())

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        owner = getattr(__obj, "__self__", None)
        _spend(__self.call_units + (len(owner) // _CHARACTERS if isinstance(owner, str | list | dict) else 0))
        return super().call(__context, __obj, *args, **kwargs)

    call_units: int = _EACH

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str | list) and isinstance(right, str | list):
            _made(len(left) + len(right))
            return left + right  # type: ignore[operator]  # what cannot be added is a TypeError
        for side in (left, right):
            if not isinstance(side, int | float | Decimal):
                raise TypeError(f"{operator} takes numbers, not {type(side).__name__}")
            if isinstance(side, int) and side.bit_length() > 4_096:
                raise TooMuch("reckons with numbers of more than 4096 bits")
        if operator == "**" and (abs(right) > 64 or (isinstance(left, int) and left.bit_length() > 64)):
            raise TooMuch("reckons with powers above 64")
        _spend()
        if isinstance(left, Decimal) != isinstance(right, Decimal):
            left, right = (side if isinstance(side, Decimal) else Decimal(repr(side)) for side in (left, right))
        result = self.binop_table[operator](left, right)
        if isinstance(result, float) and not math.isfinite(result):
            raise OverflowError(f"the result of {operator} is no number")
        return result


def _check(tree: nodes.Template) -> None:
    for node in tree.find_all(_FORBIDDEN):
        word = type(node).__name__.lower()
        raise jinja2.TemplateAssertionError(f"{word} is not offered in templates", node.lineno)
    for name in tree.find_all(nodes.Name):
        if name.name.startswith("_") or name.name == "self":
            raise jinja2.TemplateAssertionError(f"the name {name.name!r} is not offered in templates", name.lineno)
    for filtered in tree.find_all(nodes.Filter):
        if filtered.name.startswith("_"):
            raise jinja2.TemplateAssertionError(f"No filter named {filtered.name!r}.", filtered.lineno)
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise jinja2.TemplateAssertionError("recursive loops are not offered in templates", loop.lineno)


def _count_turns(tree: nodes.Template) -> None:
    """Every loop's items go through a filter that counts them, and what `~` joins through one that measures it."""
    for loop in list(tree.find_all(nodes.For)):
        literal = sum(
            len(data.data)
            for part in loop.body
            for data in (part, *part.find_all(nodes.Node))
            if isinstance(data, nodes.TemplateData)
        )
        units = nodes.Const(_EACH // 5 + literal // _CHARACTERS, lineno=loop.lineno)
        loop.iter = nodes.Filter(loop.iter, _COUNTED, [units], [], None, None, lineno=loop.lineno)
    _replace_concat(tree)


def _replace_concat(node: nodes.Node) -> None:
    for field, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            _replace_concat(value)
            setattr(node, field, _measured(value))
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, nodes.Node):
                    _replace_concat(part)
            setattr(node, field, [_measured(part) for part in value])


def _measured(node: Any) -> Any:
    if not isinstance(node, nodes.Concat):
        return node
    listed = nodes.List(node.nodes, lineno=node.lineno)
    return nodes.Filter(listed, _CONCAT, [], [], None, None, lineno=node.lineno)


def _finalize_json(value: Any) -> Any:
    """Every value stands as JSON, unless a part of the template made it."""
    if isinstance(value, jinja2.Undefined):
        return value
    text = value if isinstance(value, Markup) else _json(value)
    _written(len(text))
    return text


def _finalize_text(value: Any) -> Any:
    if isinstance(value, jinja2.Undefined):
        return value
    text = _text(value)
    _written(len(text) * 5 if not isinstance(text, Markup) else len(text))
    return text


def _written(characters: int) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.written(characters)


def _environment(output: Output) -> _Environment:
    environment = _Environment(
        autoescape=output != "text",
        finalize=_finalize_json if output == "json" else _finalize_text,
        undefined=jinja2.StrictUndefined,
        loader=None,
        cache_size=0,
        keep_trailing_newline=True,
        optimized=False,
    )
    environment.globals = {"range": _range}
    environment.filters = {**_FILTERS, _COUNTED: _turns, _CONCAT: _concat}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment


_LINE: Final = re.compile(r"\s+")


class Compiled:
    """A template. `names` are the variables that it is given."""

    def __init__(self, source: str, output: Output, names: frozenset[str]) -> None:
        """ValueError says what is wrong, and in which line."""
        if len(source) > LONGEST:
            raise ValueError(f"a template has at most {LONGEST} characters")
        try:
            environment = _environment(output)
            unknown = meta.find_undeclared_variables(environment.parse(source)) - names - {"range"}
            if unknown:
                given = ", ".join(sorted(names))
                raise ValueError(f"the template reads {', '.join(sorted(unknown))}; there are {given}")
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(f"line {error.lineno} of the template: {error.message}") from None
        except (TooMuch, SecurityError, TypeError, RecursionError, SyntaxError, OverflowError) as error:
            raise ValueError(f"the template cannot be compiled: {_LINE.sub(' ', str(error))[:300]}") from None

    def render(self, variables: Mapping[str, Any], budget: Budget) -> str:
        """The text. TooMuch beyond the budget, Later where it is not the final one, ValueError where the template
        does not fit what it is given."""
        token = _budget.set(budget)
        try:
            pieces = []
            for piece in self._template.generate(variables):
                budget.made(len(piece))
                pieces.append(piece)
            return "".join(pieces)
        except (TooMuch, Later):
            raise
        except MemoryError:
            raise TooMuch("needs more memory than there is") from None
        except (
            jinja2.TemplateError,
            TypeError,
            ArithmeticError,
            LookupError,
            AttributeError,
            RecursionError,
            ValueError,
        ) as error:
            raise ValueError(f"the template does not fit: {_LINE.sub(' ', str(error))[:300].rstrip('.')}") from error
        finally:
            _budget.reset(token)
