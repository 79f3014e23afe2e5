"""`when:` of a step, compiled at publish time: a structured match over the request and who sent it.

All keys must hold: `method`, `path`, `header: {name: matcher}`, `query: {name: matcher}`, `claim: {name: matcher}`,
`application`, `plan`; besides `any: [match, …]` and `not: match`. A matcher is a value (equals), a list (one of), or
`{equals | in | prefix | pattern | present}`. A value that is absent matches only `{present: false}`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.core.exchange import Exchange
from gateway.core.headers import finder

Condition = Callable[[Exchange], bool]
Matcher = Callable[[str | None], bool]
Read = Callable[[Exchange], "str | None"]

PATTERN_LIMIT: Final = 200
# A quantifier over a group that itself repeats or chooses can take exponential time (CASES B56).
_NESTED: Final = re.compile(r"\([^()]*(?:[*+|]|\{\d)[^()]*\)(?:[*+]|\{\d)")
_BACKREFERENCE: Final = re.compile(r"\\[1-9]|\(\?P=|\(\?[=!<]")


def compile_condition(spec: Mapping[str, Any]) -> Condition:
    """The function of a condition. ValueError names the key that is wrong."""
    if not spec:
        raise ValueError("it is empty; leave `when` out for a step that always runs")
    parts = [_part(key, value) for key, value in spec.items()]
    if len(parts) == 1:
        return parts[0]
    return lambda exchange: all(part(exchange) for part in parts)


def _part(key: str, value: Any) -> Condition:
    if key in _READERS:
        return _single(_READERS[key], _matcher(value, key))
    if key in _NAMED:
        return _by_name(key, value)
    if key == "any":
        return _any(value)
    if key == "not":
        inner = compile_condition(_mapping(value, "not"))
        return lambda exchange: not inner(exchange)
    if key == "cel":
        raise ValueError("`cel` is not offered yet; write a structured match")
    known = [*_READERS, *_NAMED, "any", "not"]
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(known)}"
    raise ValueError(f"unknown key `{key}`; {hint}")


def _any(value: Any) -> Condition:
    if not isinstance(value, list) or not value:
        raise ValueError("`any` is a list of matches")
    inner = [compile_condition(_mapping(each, f"any[{index}]")) for index, each in enumerate(value)]
    return lambda exchange: any(each(exchange) for each in inner)


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"`{key}` is a match such as {{method: GET}}")
    return value


def _single(read: Read, matches: Matcher) -> Condition:
    return lambda exchange: matches(read(exchange))


def _by_name(key: str, value: Any) -> Condition:
    """`header: {name: matcher}` and the like; every name must match."""
    parts = [_single(_NAMED[key](name), _matcher(each, f"{key}.{name}")) for name, each in _mapping(value, key).items()]
    if not parts:
        raise ValueError(f"`{key}` names nothing")
    return lambda exchange: all(part(exchange) for part in parts)


# matchers


def _matcher(value: Any, key: str) -> Matcher:
    if isinstance(value, Mapping):
        parts = [_operator(name, each, key) for name, each in value.items()]
        if not parts:
            raise ValueError(f"`{key}` says nothing; it takes equals, in, prefix, pattern, present")
        return lambda text: all(part(text) for part in parts)
    if isinstance(value, list):
        return _operator("in", value, key)
    return _operator("equals", value, key)


def _operator(name: str, value: Any, key: str) -> Matcher:
    if name == "equals":
        wanted = _text(value, key)
        return lambda text: text == wanted
    if name == "in":
        if not isinstance(value, list) or not value:
            raise ValueError(f"`{key}.in` is a list")
        several = frozenset(_text(each, key) for each in value)
        return lambda text: text in several
    if name == "prefix":
        start = _text(value, key)
        return lambda text: text is not None and text.startswith(start)
    if name == "pattern":
        search = _pattern(_text(value, key), key)
        return lambda text: text is not None and search(text) is not None
    if name == "present":
        if not isinstance(value, bool):
            raise ValueError(f"`{key}.present` is true or false")
        return lambda text: (text is not None) is value
    raise ValueError(f"unknown operator `{key}.{name}`; it takes equals, in, prefix, pattern, present")


def _text(value: Any, key: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"`{key}` compares with a text or a number, not with {type(value).__name__}")


def _pattern(text: str, key: str) -> Callable[[str], Any]:
    """The whole value must match. What could take more than linear time is refused."""
    if len(text) > PATTERN_LIMIT:
        raise ValueError(f"`{key}.pattern` is longer than {PATTERN_LIMIT} characters")
    if _NESTED.search(text) or _BACKREFERENCE.search(text):
        raise ValueError(f"`{key}.pattern` repeats a repetition, looks around or refers back: it could hang a request")
    try:
        return re.compile(text).fullmatch
    except re.error as error:
        raise ValueError(f"`{key}.pattern` is no regular expression: {error}") from None


# readers


def _header(name: str) -> Read:
    find = finder(name.lower().encode("ascii"))

    def read(exchange: Exchange) -> str | None:
        values = find(exchange.head.block)
        return b", ".join(values).decode("latin-1") if values else None

    return read


def _query(name: str) -> Read:
    def read(exchange: Exchange) -> str | None:
        if not exchange.head.query:
            return None
        pairs = parse_qsl(exchange.head.query.decode("ascii"), keep_blank_values=True, errors="strict")
        return next((value for key, value in pairs if key == name), None)

    return read


def _claim(name: str) -> Read:
    def read(exchange: Exchange) -> str | None:
        identity = exchange.identity
        value = identity.claims.get(name) if identity is not None else None
        return None if value is None else _text(value, f"claim.{name}")

    return read


def _method(exchange: Exchange) -> str | None:
    return exchange.head.method.decode("ascii")


def _path(exchange: Exchange) -> str | None:
    return exchange.head.path.decode("ascii")


def _application(exchange: Exchange) -> str | None:
    return exchange.identity.application if exchange.identity is not None else None


def _plan(exchange: Exchange) -> str | None:
    return exchange.identity.plan if exchange.identity is not None else None


_READERS: Final[Mapping[str, Read]] = {
    "method": _method,
    "path": _path,
    "application": _application,
    "plan": _plan,
}
_NAMED: Final[Mapping[str, Callable[[str], Read]]] = {"header": _header, "query": _query, "claim": _claim}
