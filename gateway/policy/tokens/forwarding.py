"""Claims that a backend gets as header fields: made once for a token, checked so that none breaks a message (CASES
F22)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.core import headers
from gateway.policy.claims import reader
from gateway.policy.fields import names
from gateway.policy.tokens.refusals import InvalidToken

Lines = Callable[[Mapping[str, Any]], bytes]


def forwarder(fields: Mapping[str, str]) -> Lines:
    """Of {claim: field}: claims to a raw block. Text goes as UTF-8, a list of texts with commas between, anything else
    as JSON. InvalidToken when a value cannot stand in a header field."""
    names(fields.values())
    pairs = [(path, reader((path,)), name.encode("ascii")) for path, name in fields.items()]

    def lines(claims: Mapping[str, Any]) -> bytes:
        block = b""
        for path, read, name in pairs:
            value = read(claims)
            if value is not None:
                try:
                    block += headers.line(name, _text(value))
                except ValueError:
                    raise InvalidToken(f"its {path} cannot stand in a header field") from None
        return block

    return lines


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list) and all(isinstance(each, str) and "," not in each for each in value):
        return ", ".join(value).encode()
    return orjson.dumps(value)
