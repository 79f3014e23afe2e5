"""Expressions over an exchange in CEL, the Common Expression Language (https://cel.dev): compiled when they are
published, evaluated for a request.

    request.method == "GET" && "orders:read" in identity.scopes
    request.headers["x-mode"] == "dry" || identity.claims.level > 3
    arguments.amount <= 1000.0                                   (where the call is decoded)

`request` has method, path, query, headers, host, scheme and client; `identity` has subject, method, application, plan,
credential, scopes, roles and claims; `operation` is what runs; `arguments` are the call's. A header is text by its
lower-case name; a query parameter is the list of its values. Who asks for what may be absent asks first:
`"x-mode" in request.headers && …`, `has(identity.claims.level) && …`.

An expression that errs, gives something else than true or false, or would look at too much raises `Undecided`: what
that means is the asker's to say, and it never means yes. The language has no loops; its macros (`all`, `exists`,
`map`, `filter`) go over lists, so that their work is bounded by what they go over before they begin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import cel

from gateway.core.exchange import Exchange
from gateway.core.expression_values import mark_reader, reader
from gateway.core.identity import Identity

Ask = Callable[[Exchange], bool]

LONGEST: Final = 2000  # characters of an expression
MOST_MACROS: Final = 8
MOST_GROWTH: Final = 10_000
MOST_WORK: Final = 100_000  # elements that macros go over, about 20 ms
REMEMBERED: Final = 1024  # answers of one expression
REMEMBERED_LENGTH: Final = 512  # bytes of path and host of the longest of them
_VARIABLES: Final = ("request", "identity", "operation")
_FUNCTIONS: Final = frozenset(
    (
        "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
        "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "int",
        "matches", "size", "startsWith", "string", "timestamp", "type", "uint",
    )
)  # fmt: skip
_TEXT: Final = re.compile(
    r"""[rRbB]{0,2}(?:'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3}|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""", re.DOTALL
)
_PATTERN: Final = re.compile(rf"\.\s*matches\s*\(\s*({_TEXT.pattern})\s*\)", re.DOTALL)
_CALLS_MATCHES: Final = re.compile(r"\bmatches\s*\(")
_MACRO: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*(\()\s*([A-Za-z_]\w*)?")
_NAMED: Final = re.compile(r"[A-Za-z_]\w*")


class Undecided(Exception):
    """An expression gave no answer. The text is for the log: it may tell of the request."""


class Absent(Undecided):
    """The expression asks for something that this request does not have."""


def compile_expression(text: str, arguments: bool = False) -> Ask:
    """A function that tells whether the expression holds; it raises Undecided. `arguments`: the call's may be asked
    for. ValueError says what is wrong with the text."""
    if len(text) > LONGEST:
        raise ValueError(f"an expression has at most {LONGEST} characters")
    bare = _TEXT.sub('""', text)
    if len(_macros(bare)) > MOST_MACROS:
        raise ValueError(f"an expression has at most {MOST_MACROS} macros (all, exists, map, filter)")
    program = _compiled(text)
    _check_names(program, bare, arguments)
    _check_patterns(text, bare)
    _check_growth(bare)
    read = reader(program.variables(), text)
    work = _work(bare)

    def holds(exchange: Exchange) -> bool:
        variables = read(exchange)
        if work is not None and work(variables) > MOST_WORK:
            raise Undecided("the expression would look at too much")
        return _evaluate(program, variables)

    mark_of = mark_reader(program.variables(), text)
    return holds if mark_of is None else _remembering(holds, mark_of)


def _remembering(holds: Ask, mark_of: Callable[[Exchange], tuple[Any, ...]]) -> Ask:
    """An expression reads neither a clock nor chance: for the same values it gives the same, and making CEL's values of
    ours is most of what it costs."""
    known: dict[tuple[Any, ...], tuple[Identity | None, bool]] = {}

    def held(exchange: Exchange) -> bool:
        mark, identity = mark_of(exchange), exchange.identity
        found = known.get(mark)
        if found is not None and found[0] is identity:
            return found[1]
        value = holds(exchange)
        if len(exchange.head.path) + len(exchange.head.host) <= REMEMBERED_LENGTH:
            if len(known) >= REMEMBERED:
                known.clear()
            known[mark] = identity, value
        return value

    return held


def _compiled(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except ValueError as error:
        lines = [line.strip() for line in str(error).splitlines() if "ERROR" in line]
        reason = lines[0].partition("ERROR: <input>:")[2] if lines else "it cannot be read"
        raise ValueError(f"the expression is not CEL, at {reason[:200]}") from None


def _check_names(program: cel.Program, bare: str, arguments: bool) -> None:
    bound = set(_macros(bare).values())
    known = {*_VARIABLES, "arguments"} if arguments else set(_VARIABLES)
    if "arguments" in program.variables() and not arguments and "arguments" not in bound:
        raise ValueError("`arguments` are there where the call is decoded; write `stage: call` in a step of kind cel")
    if unknown := sorted(set(program.variables()) - known - bound - {"int", "string", "double", "bool"}):
        raise ValueError(f"the expression asks for {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    named = {name for name in program.functions() if _NAMED.fullmatch(name)}
    if unknown := sorted(named - _FUNCTIONS):
        raise ValueError(f"the expression calls {', '.join(unknown)}; there are {', '.join(sorted(_FUNCTIONS))}")


def _check_patterns(text: str, bare: str) -> None:
    """A pattern is compiled when it is used: one that a caller writes could take a fifth of a second."""
    patterns = [match[1] for match in _PATTERN.finditer(text)]
    if len(_CALLS_MATCHES.findall(bare)) != len(patterns):
        raise ValueError("a pattern is written out, as in request.path.matches('^/a/[0-9]+$')")
    for each in patterns:
        try:
            cel.compile(f'"".matches({each})').execute({})
        except Exception:  # whatever the library raises for what it cannot do
            raise ValueError(f"the pattern {each[:80]} cannot be read, or is too large when it is compiled") from None


def _check_growth(bare: str) -> None:
    """What `map` makes may be larger than what it goes over, and a `map` of that again."""
    maps = len(re.findall(r"\.\s*map\s*\(", bare))
    if (bare.count("+") + 1) ** maps > MOST_GROWTH:
        raise ValueError("what `map` makes could become too large: use fewer of `map` and of +")


def _evaluate(program: cel.Program, variables: dict[str, Any]) -> bool:
    try:
        value = program.execute(variables)
    except KeyError as error:
        raise Absent(f"the request has no {error.args[0] if error.args else 'such value'}") from None
    except Exception as error:  # whatever the library raises for what it cannot do
        raise Undecided(f"{type(error).__name__}: {str(error)[:200]}") from None
    if not isinstance(value, bool):
        raise Undecided(f"the expression gave {type(value).__name__}, not true or false")
    return value


# how much work there is


def _work(bare: str) -> Callable[[Mapping[str, Any]], int] | None:
    """A bound of what the macros go over: the elements of all variables and lists that are written out, to the power
    of how deep macros stand within macros. None: there are no macros."""
    depth = _depth(bare)
    if not depth:
        return None
    joins, written = bare.count("+") + 1, bare.count(",") + 1

    def work(variables: Mapping[str, Any]) -> int:
        return int((_size(variables) * joins + written) ** depth)

    return work


def _macros(bare: str) -> dict[int, str]:
    """Where each macro's parenthesis opens: the name that it binds."""
    return {match.start(1): match[2] or "" for match in _MACRO.finditer(bare)}


def _depth(bare: str) -> int:
    """How deep macros stand within macros."""
    starts = _macros(bare)
    stack: list[bool] = []
    deepest = 0
    for index, letter in enumerate(bare):
        if letter == "(":
            stack.append(index in starts)
            deepest = max(deepest, sum(stack))
        elif letter == ")" and stack:
            stack.pop()
    return deepest


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1
