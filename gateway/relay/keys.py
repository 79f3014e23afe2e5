"""What a request is hashed by, compiled at publish time: a function from an exchange, or from a typed call's request,
to the key's bytes; None where the request has none."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gateway.core.exchange import Exchange
from gateway.core.headers import finder
from gateway.relay.settings import ExchangeKey, Hashing

FetchKey = Callable[[bytes, Sequence[tuple[bytes, bytes]], "str | None"], "bytes | None"]
"""(target, header fields, application)."""


def exchange_key(hashing: Hashing | None, parameters: tuple[str, ...]) -> ExchangeKey:
    """`parameters` are the route's. ValueError when it has none of that name."""
    if hashing is None:
        return lambda _exchange: None
    of, name = hashing.of, hashing.name
    if of == "parameter":
        if name not in parameters:
            raise ValueError(f"the backend hashes by the parameter {name}, which the route does not have")
        index = parameters.index(name)
        return lambda exchange: exchange.params[index]
    if of == "header":
        return _header(name)
    if of == "query":
        in_query = _in_query(name)
        return lambda exchange: in_query(exchange.head.query)
    if of == "cookie":
        return _cookie(name)
    return {"client-ip": _client, "application": _application, "path": _path}[of]


def _header(name: str) -> ExchangeKey:
    find = finder(name.lower().encode())

    def header(exchange: Exchange) -> bytes | None:
        values = find(exchange.head.block)
        return values[0] if values else None

    return header


def _cookie(name: str) -> ExchangeKey:
    find, search = finder(b"cookie"), _in_cookies(name)

    def cookie(exchange: Exchange) -> bytes | None:
        return search(b"; ".join(find(exchange.head.block)))

    return cookie


def _client(exchange: Exchange) -> bytes | None:
    return exchange.head.peer.client.encode() or None


def _application(exchange: Exchange) -> bytes | None:
    identity = exchange.identity
    return identity.application.encode() if identity is not None and identity.application else None


def _path(exchange: Exchange) -> bytes | None:
    return exchange.head.path


def fetch_key(hashing: Hashing | None) -> FetchKey:
    """Of a typed call. It knows no client's address and no route: such a key is None."""
    if hashing is None or hashing.of in {"client-ip", "parameter"}:
        return lambda _target, _fields, _application: None
    if hashing.of == "application":
        return lambda _target, _fields, application: application.encode() if application else None
    if hashing.of == "path":
        return lambda target, _fields, _application: target.partition(b"?")[0]
    if hashing.of == "query":
        in_query = _in_query(hashing.name)
        return lambda target, _fields, _application: in_query(target.partition(b"?")[2])
    wanted = b"cookie" if hashing.of == "cookie" else hashing.name.lower().encode()
    search = _in_cookies(hashing.name) if hashing.of == "cookie" else lambda value: value

    def field(_target: bytes, fields: Sequence[tuple[bytes, bytes]], _application: str | None) -> bytes | None:
        value = next((value for name, value in fields if name.lower() == wanted), None)
        return None if value is None else search(value)

    return field


def _in_query(name: str) -> Callable[[bytes], bytes | None]:
    """The first value of a query's parameter, raw."""
    return _group(re.compile(rb"(?:^|&)" + re.escape(name.encode()) + rb"=([^&]*)"))


def _in_cookies(name: str) -> Callable[[bytes], bytes | None]:
    return _group(re.compile(rb"(?:^|;)[ \t]*" + re.escape(name.encode()) + rb"=([^;]*)"))


def _group(pattern: re.Pattern[bytes]) -> Callable[[bytes], bytes | None]:
    def find(text: bytes) -> bytes | None:
        match = pattern.search(text)
        return match[1] if match else None

    return find
