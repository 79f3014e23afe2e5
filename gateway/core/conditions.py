"""`when:` conditions: a structured match over the exchange, compiled to a function when it is published.

    when: {method: [POST, PUT], path: {prefix: /erp/}, header: {X-Mode: dry}, query: {debug: {present: false}}}
    when: {any: [{application: partner}, {plan: {in: [gold, silver]}}], not: {claim: {role: guest}}}

All keys of a mapping must hold. A matcher is a scalar (equals), a list (one of), or a mapping of `equals`, `in`,
`prefix`, `pattern` (of the whole value) and `present`, of which all must hold. A value that is absent equals nothing;
of a repeated header field, query parameter or a claim that is a list, one value has to match. Methods compare with
case, and HEAD is GET, too. `cel` holds an expression for what the others cannot say (`core/expressions.py`).
Evaluation may raise a BadRequest (a query that cannot be decoded); what an error means is the chain's to decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

from gateway.core.errors import BadRequest
from gateway.core.exchange import Exchange
from gateway.core.headers import finder, line

Condition = Callable[[Exchange], bool]
Values = Callable[[Exchange], Sequence[str]]
Match = Callable[[Sequence[str]], bool]
Test = Callable[[str], bool]

_WORDS: Final = ("equals", "in", "prefix", "pattern", "present")
EXPRESSIONS: Final = "gateway.core.expressions"  # loaded where a condition holds an expression
_LONGEST_PATTERN: Final = 1000  # characters
_HEAD: Final = ("HEAD", "GET")
_bad_escape: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})").search


def compile_condition(spec: Mapping[str, Any], path: str = "when") -> Condition:
    """A function that tells whether the condition holds. ValueError names the key (`when.header.X-Mode`) and the way
    out."""
    if not isinstance(spec, Mapping) or not spec:
        raise ValueError(f"{path}: write at least one of {', '.join(_KEYS)}")
    parts: list[Condition] = []
    for key, value in spec.items():
        compile_key = _KEYS.get(key)
        if compile_key is None:
            raise ValueError(_unknown(path, str(key)))
        parts.append(compile_key(value, f"{path}.{key}"))
    return parts[0] if len(parts) == 1 else lambda exchange: all(part(exchange) for part in parts)


def _unknown(path: str, key: str) -> str:
    return f"{path}.{key}: no such key; there are {', '.join(_KEYS)}"


def _any(spec: Any, path: str) -> Condition:
    if not isinstance(spec, list | tuple) or not spec:
        raise ValueError(f"{path}: write a list of conditions")
    parts = [compile_condition(each, f"{path}[{index}]") for index, each in enumerate(spec)]
    return lambda exchange: any(part(exchange) for part in parts)


def _not(spec: Any, path: str) -> Condition:
    inner = compile_condition(spec, path)
    return lambda exchange: not inner(exchange)


def _expression(spec: Any, path: str) -> Condition:
    from gateway.core.expressions import compile_expression  # with its library, only where one is used

    if not isinstance(spec, str):
        raise ValueError(f"{path}: write an expression as text")
    try:
        return compile_expression(spec)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def expressions(when: Any) -> Iterator[str]:
    """The expressions of a condition."""
    for key, value in when.items() if isinstance(when, Mapping) else ():
        if key == "cel" and isinstance(value, str):
            yield value
        for inner in value if key == "any" and isinstance(value, list | tuple) else (value,):
            yield from expressions(inner) if key in {"any", "not"} else ()


def names_operation(when: Mapping[str, Any] | None) -> bool:
    """Whether a condition looks at the operation that runs."""
    return when is not None and any("operation" in text for text in expressions(when))


# what is looked at


def _one(values: Values) -> Callable[[Any, str], Condition]:
    """A key with one matcher: method, path, application, plan."""

    def compile_one(spec: Any, path: str) -> Condition:
        match = _matcher(spec, path)
        return lambda exchange: match(values(exchange))

    return compile_one


def _named(values: Callable[[str], Values]) -> Callable[[Any, str], Condition]:
    """A key with a matcher a name: header, query, claim."""

    def compile_named(spec: Any, path: str) -> Condition:
        if not isinstance(spec, Mapping) or not spec:
            raise ValueError(f"{path}: write a mapping of names, such as {{X-Mode: dry}}")
        parts = [_pair(values, str(name), each, f"{path}.{name}") for name, each in spec.items()]
        return lambda exchange: all(part(exchange) for part in parts)

    return compile_named


def _pair(values: Callable[[str], Values], name: str, spec: Any, path: str) -> Condition:
    try:
        read = values(name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    match = _matcher(spec, path)
    return lambda exchange: match(read(exchange))


def _method(exchange: Exchange) -> Sequence[str]:
    """HEAD is both: it is GET without the content (RFC 9110 section 9.3.2), routes of GET serve it, and what stands
    before GET must not be passed by it."""
    method = exchange.head.method
    return _HEAD if method == b"HEAD" else (method.decode("latin-1"),)


def _path(exchange: Exchange) -> Sequence[str]:
    """The raw path: what is matched is what is forwarded."""
    return (exchange.head.path.decode("latin-1"),)


def _header(name: str) -> Values:
    raw = name.encode()
    line(raw, b"")
    find = finder(raw.lower())
    return lambda exchange: [value.decode("latin-1") for value in find(exchange.head.block)]


def _query(name: str) -> Values:
    def values(exchange: Exchange) -> Sequence[str]:
        found = []
        for pair in exchange.head.query.split(b"&"):
            key, _, value = pair.partition(b"=")
            if pair and decoded(key) == name:
                found.append(decoded(value))
        return found

    return values


def decoded(text: bytes) -> str:
    """A query's name or value (WHATWG URL, application/x-www-form-urlencoded). BadRequest when it is not UTF-8."""
    if _bad_escape(text) is not None:
        raise BadRequest("The query holds a % without two hexadecimal digits.")
    try:
        return unquote_to_bytes(text.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise BadRequest("The query's percent escapes are not UTF-8.") from None


def _claim(name: str) -> Values:
    def values(exchange: Exchange) -> Sequence[str]:
        return () if exchange.identity is None else _texts(exchange.identity.claims.get(name))

    return values


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, list | tuple | set | frozenset):
        return [_text(each) for each in value]
    return () if value is None else (_text(value),)


def compile_value(spec: Any, path: str) -> Callable[[Any], bool]:
    """A matcher of one claim's value, None for one that is absent. ValueError as of `compile_condition`."""
    match = _matcher(spec, path)
    return lambda value: match(_texts(value))


def _application(exchange: Exchange) -> Sequence[str]:
    identity = exchange.identity
    return () if identity is None or identity.application is None else (identity.application,)


def _plan(exchange: Exchange) -> Sequence[str]:
    identity = exchange.identity
    return () if identity is None or identity.plan is None else (identity.plan,)


# how it is matched


def _matcher(spec: Any, path: str) -> Match:
    if isinstance(spec, Mapping):
        return _worded(spec, path)
    if isinstance(spec, list | tuple):
        return _some(_in(spec, path))
    return _some(_equals(spec, path))


def _worded(spec: Mapping[str, Any], path: str) -> Match:
    for word in spec:
        if word not in _WORDS:
            raise ValueError(f"{path}.{word}: no such matcher; there are {', '.join(_WORDS)}")
    if not spec:
        raise ValueError(f"{path}: write at least one of {', '.join(_WORDS)}")
    present = spec.get("present", True)
    if not isinstance(present, bool):
        raise ValueError(f"{path}.present: write true or false")
    tests = [_TESTS[word](value, f"{path}.{word}") for word, value in spec.items() if word != "present"]
    if not present:
        if tests:
            raise ValueError(f"{path}: what is absent has no value; remove present: false or the other matchers")
        return lambda values: not values
    return lambda values: any(all(test(value) for test in tests) for value in values)


def _some(test: Test) -> Match:
    return lambda values: any(test(value) for value in values)


def _equals(spec: Any, path: str) -> Test:
    return _scalar(spec, path).__eq__


def _in(spec: Any, path: str) -> Test:
    if not isinstance(spec, list | tuple) or not spec:
        raise ValueError(f"{path}: write a list of values")
    return frozenset(_scalar(each, f"{path}[{index}]") for index, each in enumerate(spec)).__contains__


def _prefix(spec: Any, path: str) -> Test:
    start = _scalar(spec, path)
    if not start:
        raise ValueError(f"{path}: an empty prefix always matches; write present: true if that is meant")
    return lambda value: value.startswith(start)


def _pattern(spec: Any, path: str) -> Test:
    """Matched by the engine in pydantic-core, in linear time: it has neither look-around nor back-references."""
    if not isinstance(spec, str) or len(spec) > _LONGEST_PATTERN:
        raise ValueError(f"{path}: write a pattern as text of at most {_LONGEST_PATTERN} characters")
    try:
        match = SchemaValidator(core_schema.str_schema(pattern=rf"\A(?:{spec})\z", strict=True)).isinstance_python
        SchemaValidator(core_schema.str_schema(pattern=spec))  # alone, so that no parenthesis closes ours
        match("")
    except (SchemaError, ValidationError):
        raise ValueError(
            f"{path}: the pattern {spec!r} is malformed or cannot be matched in linear time; "
            "write it without look-around and back-references"
        ) from None
    return match


_TESTS: Final[Mapping[str, Callable[[Any, str], Test]]] = {
    "equals": _equals,
    "in": _in,
    "prefix": _prefix,
    "pattern": _pattern,
}


def _scalar(spec: Any, path: str) -> str:
    if isinstance(spec, str | int | float):
        return _text(spec)
    raise ValueError(f"{path}: write text, a number, true or false, not {type(spec).__name__}")


def _text(value: Any) -> str:
    """As JSON spells it, so that a claim `true` equals `true` in a document."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


_KEYS: Final[Mapping[str, Callable[[Any, str], Condition]]] = {
    "method": _one(_method),
    "path": _one(_path),
    "header": _named(_header),
    "query": _named(_query),
    "claim": _named(_claim),
    "application": _one(_application),
    "plan": _one(_plan),
    "any": _any,
    "not": _not,
    "cel": _expression,
}
