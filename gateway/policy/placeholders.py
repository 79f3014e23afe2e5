"""`{application}`, `{claim.sub}`, `{header.X-Team}`: what configured text takes from a request.

| placeholder | value |
|---|---|
| `{request_id}`, `{client}`, `{method}`, `{path}` | of the request; `client` is the believed address |
| `{application}`, `{plan}`, `{subject}` | of the identity; empty without one |
| `{claim.NAME}` | a claim of the identity; a dot in it goes deeper |
| `{header.NAME}`, `{query.NAME}` | of the request as it came |

Where the whole text is one placeholder, `value` gives what it stands for as it is: a list of a token stays a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.core.conditions import decoded
from gateway.core.exchange import Exchange
from gateway.core.headers import finder, line
from gateway.schema.json_exact import text_of

Read = Callable[[Exchange], Any]
Fill = Callable[[Exchange], str]

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]+(?:\.[^{}\s]{1,200})?)\}")

_PLAIN: Final[Mapping[str, Read]] = {
    "request_id": lambda exchange: exchange.id,
    "client": lambda exchange: exchange.head.peer.client,
    "method": lambda exchange: exchange.head.method.decode("latin-1"),
    "path": lambda exchange: exchange.head.path.decode("latin-1"),
    "application": lambda exchange: exchange.identity.application if exchange.identity else None,
    "plan": lambda exchange: exchange.identity.plan if exchange.identity else None,
    "subject": lambda exchange: exchange.identity.subject if exchange.identity else None,
}


def check(text: str) -> None:
    """ValueError names a placeholder that there is not."""
    for name in _PLACEHOLDER.findall(text):
        _reader(name)


def is_constant(text: str) -> bool:
    return _PLACEHOLDER.search(text) is None


def filler(text: str, encode: Callable[[str], str] = str) -> Fill:
    """A function that fills the text in; a value that is no text as JSON spells it, nothing as an empty one. `encode`
    makes each value fit for its place."""
    if is_constant(text):
        return lambda _exchange: text
    parts: list[str | Read] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [text[end : match.start()], _reader(match[1])]
        end = match.end()
    parts.append(text[end:])
    return lambda exchange: "".join(
        [part if isinstance(part, str) else encode(text_of(part(exchange))) for part in parts]
    )


def value(template: Any) -> Read:
    """A function that fills in every text of a JSON value."""
    if isinstance(template, str):
        match = _PLACEHOLDER.fullmatch(template)
        return filler(template) if match is None else _reader(match[1])
    if isinstance(template, dict):
        members = {key: value(part) for key, part in template.items()}
        return lambda exchange: {key: read(exchange) for key, read in members.items()}
    if isinstance(template, list | tuple):
        items = [value(part) for part in template]
        return lambda exchange: [read(exchange) for read in items]
    return lambda _exchange: template


def check_value(template: Any) -> None:
    """`check` for every text of a JSON value."""
    if isinstance(template, str):
        check(template)
    elif isinstance(template, dict):
        for part in template.values():
            check_value(part)
    elif isinstance(template, list | tuple):
        for part in template:
            check_value(part)


def _reader(name: str) -> Read:
    if name in _PLAIN:
        return _PLAIN[name]
    source, _, key = name.partition(".")
    if key and source in _NAMED:
        return _NAMED[source](key)
    known = ", ".join([*_PLAIN, *(f"{each}.NAME" for each in _NAMED)])
    raise ValueError(f"`{{{name}}}` is no placeholder; there are {known}")


def _claim(name: str) -> Read:
    path = name.split(".")

    def read(exchange: Exchange) -> Any:
        claims: Any = {} if exchange.identity is None else exchange.identity.claims
        if name in claims:
            return claims[name]
        for part in path:
            if not isinstance(claims, Mapping) or part not in claims:
                return None
            claims = claims[part]
        return claims

    return read


def _header(name: str) -> Read:
    raw = name.encode("ascii", "replace")
    line(raw, b"")
    find = finder(raw.lower())
    return lambda exchange: b", ".join(find(exchange.head.block)).decode("latin-1")


def _query(name: str) -> Read:
    def read(exchange: Exchange) -> str:
        for part in exchange.head.query.split(b"&"):
            key, _, text = part.partition(b"=")
            if part and decoded(key) == name:
                return decoded(text)
        return ""

    return read


_NAMED: Final[Mapping[str, Callable[[str], Read]]] = {"claim": _claim, "header": _header, "query": _query}
