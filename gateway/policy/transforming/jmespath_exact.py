"""JMESPath over values of `json_loads`: decimals are numbers, too. Loaded only where a step has an expression."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import jmespath
from jmespath import exceptions, functions
from jmespath.parser import ParsedResult, Parser

from gateway.schema.json_exact import dumps

LONGEST: Final = 8_192  # characters of an expression
_DEEPEST: Final = 64  # nested parts of an expression
_MOST: Final = 1_000_000  # parts of a result
_DECIMAL: Final = "Decimal"

Search = Callable[[Any], Any]


class _Functions(functions.Functions):  # type: ignore[misc]  # the library has no types
    """The built-in functions, which do not know of decimals."""

    def _get_allowed_pytypes(self, types: list[str]) -> tuple[list[str], list[tuple[str, ...]]]:
        allowed, parts = super()._get_allowed_pytypes(types)
        if "float" in allowed:
            allowed.append(_DECIMAL)
        return allowed, [(*each, _DECIMAL) if "float" in each else each for each in parts]

    def _convert_to_jmespath_type(self, pyobject: str) -> str:
        return "number" if pyobject == _DECIMAL else str(super()._convert_to_jmespath_type(pyobject))

    @functions.signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
    def _func_sum(self, arg: list[Any]) -> Any:
        return _finite(sum(_alike(arg)))

    @functions.signature({"types": ["array-number"]})  # type: ignore[untyped-decorator]
    def _func_avg(self, arg: list[Any]) -> Any:
        return _finite(sum(_alike(arg)) / len(arg)) if arg else None

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, arg: Any) -> Any:
        return arg if isinstance(arg, Decimal) else _finite(super()._func_to_number(arg))

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, arg: Any) -> str:
        return arg if isinstance(arg, str) else dumps(arg).decode()


def _alike(numbers: list[Any]) -> list[Any]:
    if any(isinstance(number, Decimal) for number in numbers):
        return [number if isinstance(number, Decimal) else Decimal(repr(number)) for number in numbers]
    return numbers


def _finite(number: Any) -> Any:
    if isinstance(number, float) and not math.isfinite(number):
        raise ArithmeticError("a result is no number")
    return number


def compile_expression(expression: str) -> Search:
    """A function from a JSON value to the expression's. ValueError at once for an expression that cannot be read or
    names a function that there is not; ValueError later where the value is not what the expression expects."""
    if len(expression) > LONGEST:
        raise ValueError(f"a JMESPath expression has at most {LONGEST} characters")
    try:
        compiled: ParsedResult = Parser().parse(expression)
    except (exceptions.JMESPathError, RecursionError) as error:
        raise ValueError(f"{expression!r} is no JMESPath expression: {_plain(error)}") from None
    _check(compiled.parsed, 0)
    options = jmespath.Options(custom_functions=_Functions())
    grows = _lists(compiled.parsed) > 1

    def search(value: Any) -> Any:
        try:
            result = compiled.search(value, options)
        except (exceptions.JMESPathError, ArithmeticError, TypeError, RecursionError) as error:
            raise ValueError(f"the expression does not fit the body: {_plain(error)}") from error
        if grows:
            _count(result)
        return result

    return search


def _plain(error: BaseException) -> str:
    return str(error).split("\n", maxsplit=1)[0][:300].rstrip(".:")


_NAMES: Final = frozenset(_Functions.FUNCTION_TABLE)


def _check(node: dict[str, Any], depth: int) -> None:
    """The library finds an unknown function only once it is called."""
    if depth > _DEEPEST:
        raise ValueError(f"a JMESPath expression has at most {_DEEPEST} parts in one another")
    if node["type"] == "function_expression":
        name, given = node["value"], len(node["children"])
        if name not in _NAMES:
            raise ValueError(f"JMESPath has no function {name}; there are {', '.join(sorted(_NAMES))}")
        signature = _Functions.FUNCTION_TABLE[name]["signature"]
        variadic = bool(signature) and signature[-1].get("variadic")
        if (given < len(signature)) if variadic else (given != len(signature)):
            raise ValueError(f"the JMESPath function {name} takes {len(signature)} arguments, not {given}")
    for child in node["children"]:
        if isinstance(child, dict) and "type" in child:
            _check(child, depth + 1)


def _lists(node: dict[str, Any]) -> int:
    """How many parts make a list or an object of several values: two behind one another can grow without end."""
    own = int(node["type"] in ("multi_select_list", "multi_select_dict"))
    return own + sum(_lists(child) for child in node["children"] if isinstance(child, dict) and "type" in child)


def _count(value: Any) -> None:
    """A value may stand in a result many times; written out it would be larger than memory."""
    count, stack = 0, [value]
    while stack:
        part = stack.pop()
        count += 1
        if count > _MOST:
            raise ValueError(f"the expression's result has more than {_MOST} parts")
        if isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)
