"""The sandbox of templates: jinja2's ImmutableSandboxedEnvironment, with less in it.

What a template can do is listed, not what it cannot: methods, operators, statements. Everything that can repeat or
grow is counted against the budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from gateway.policy.transforming.rewriting import TooMuch
from gateway.policy.transforming.template_budget import CHARACTERS, EACH, about_to_make, about_to_write, spend
from gateway.policy.transforming.template_filters import FILTERS, TESTS, as_json, as_text, counted_range, join

Output = Literal["json", "xml", "html", "text"]

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
    ("index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem",
     "changed", "cycle")
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
        spend(units)
        yield part


def _concat(parts: tuple[Any, ...] | list[Any]) -> Any:
    return join(parts)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _check(tree)
        literal = sum(len(data.data) for data in tree.find_all(nodes.TemplateData))
        self.call_units = (
            EACH + literal // CHARACTERS if next(tree.find_all((nodes.Macro, nodes.CallBlock)), None) else EACH
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
        if isinstance(obj, jinja2.runtime.Macro | jinja2.runtime.LoopContext) or obj is counted_range:
            return True
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, jinja2.runtime.LoopContext):
            return name in ("cycle", "changed")
        return any(isinstance(owner, type_) and name in names for type_, names in _METHODS.items())

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        owner = getattr(__obj, "__self__", None)
        spend(__self.call_units + (len(owner) // CHARACTERS if isinstance(owner, str | list | dict) else 0))
        return super().call(__context, __obj, *args, **kwargs)

    call_units: int = EACH

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, str | list) and isinstance(right, str | list):
            about_to_make(len(left) + len(right))
            return left + right  # type: ignore[operator]  # what cannot be added is a TypeError
        for side in (left, right):
            if not isinstance(side, int | float | Decimal):
                raise TypeError(f"{operator} takes numbers, not {type(side).__name__}")
            if isinstance(side, int) and side.bit_length() > 4_096:
                raise TooMuch("reckons with numbers of more than 4096 bits")
        if operator == "**" and (abs(right) > 64 or (isinstance(left, int) and left.bit_length() > 64)):
            raise TooMuch("reckons with powers above 64")
        spend()
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
        units = nodes.Const(EACH // 5 + literal // CHARACTERS, lineno=loop.lineno)
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
    text = value if isinstance(value, Markup) else as_json(value)
    about_to_write(len(text))
    return text


def _finalize_text(value: Any) -> Any:
    if isinstance(value, jinja2.Undefined):
        return value
    text = as_text(value)
    about_to_write(len(text) * 5 if not isinstance(text, Markup) else len(text))
    return text


def environment(output: Output) -> _Environment:
    """For templates that make such a text: what is written out is escaped for it."""
    made = _Environment(
        autoescape=output != "text",
        finalize=_finalize_json if output == "json" else _finalize_text,
        undefined=jinja2.StrictUndefined,
        loader=None,
        cache_size=0,
        keep_trailing_newline=True,
        optimized=False,
    )
    made.globals = {"range": counted_range}
    made.filters = {**FILTERS, _COUNTED: _turns, _CONCAT: _concat}
    made.tests = {name: made.tests[name] for name in TESTS}
    return made
