"""Literals of OData URLs as canonical values, by the names of their nodes. The spelling is `schema/lexical.py`'s."""

from __future__ import annotations

import binascii
import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.core.errors import BadRequest
from gateway.schema.lexical import PARSERS
from gateway.schema.types import ScalarKind

MAX_DIGITS: Final = 400
_INT64: Final = 2**63
_MINUTES: Final = re.compile(r"[0-9]{2}:[0-9]{2}")
_MINUTES_OF_DAY: Final = re.compile(r"[0-9-]{10}T[0-9]{2}:[0-9]{2}(?=[Z+-])")

Literal = tuple[Any, Any]  # (kind, value)


def _refuse(text: str, message: str) -> BadRequest:
    return BadRequest(f"The literal {text[:60]!r} {message}.")


def _parsed(kind: ScalarKind, text: str) -> Any:
    try:
        return PARSERS[kind](text)
    except ValueError as error:
        raise _refuse(text, str(error)) from None


def _integer(text: str) -> Literal:
    """Beyond 64 bits an integer is a decimal number."""
    if len(text) > MAX_DIGITS:
        raise _refuse(text, f"has more than {MAX_DIGITS} digits")
    value = int(text)
    return ("int", value) if -_INT64 <= value < _INT64 else ("decimal", Decimal(value))


def _fraction(text: str) -> Literal:
    if len(text) > MAX_DIGITS:
        raise _refuse(text, f"has more than {MAX_DIGITS} digits")
    if "e" not in text and "E" not in text:
        return "decimal", Decimal(text)
    value = float(text)
    if math.isinf(value):
        raise _refuse(text, "is beyond a 64-bit float")
    return "double", value


def _datetime(text: str) -> Literal:
    upper = text.upper()
    if found := _MINUTES_OF_DAY.match(upper):
        upper = f"{found[0]}:00{upper[found.end() :]}"
    return "datetime", _parsed("datetime", upper)


def _time(text: str) -> Literal:
    return "time", _parsed("time", f"{text}:00" if _MINUTES.fullmatch(text) else text)


def _binary(text: str) -> Literal:
    if re.fullmatch(r"[A-Za-z0-9_-]*={0,2}", text) is None:
        raise _refuse(text, "must be base64url")
    stripped = text.rstrip("=")
    try:
        return "bytes", urlsafe_b64decode(stripped + "=" * (-len(stripped) % 4))
    except binascii.Error:
        raise _refuse(text, "must be base64url") from None


READERS: Final[Mapping[str, Callable[[Any], Literal]]] = {
    "Null": lambda _node: ("null", None),
    "Integer": _integer,
    "Float": _fraction,
    "Boolean": lambda text: ("boolean", text == "true"),
    "String": lambda text: ("string", text),
    "Date": lambda text: ("date", _parsed("date", text)),
    "Time": _time,
    "DateTime": _datetime,
    "Duration": lambda text: ("duration", _parsed("duration", text)),
    "GUID": lambda text: ("uuid", _parsed("uuid", text)),
    "Binary": _binary,
    "EnumLiteral": lambda node: ("enum", (node.type.rpartition(".")[2], node.members)),
}
