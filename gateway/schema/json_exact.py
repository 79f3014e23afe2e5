"""JSON text of values that `json_loads` read: the way back, which keeps integers and decimals of any size."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import orjson

_BITS: Final = (-(2**63), 2**64 - 1)  # integers that the encoder writes by itself


def dumps(value: Any) -> bytes:
    """JSON in UTF-8 without blanks. TypeError for what is no JSON value; floats must be finite."""
    try:
        return orjson.dumps(value, default=_number)
    except TypeError:
        return orjson.dumps(_spelt(value), default=_number)


def _number(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"a {type(value).__name__} is no JSON value")


def _spelt(value: Any) -> Any:
    """The value with its large integers as text of JSON."""
    if isinstance(value, dict):
        return {key: _spelt(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_spelt(part) for part in value]
    if isinstance(value, int) and not _BITS[0] <= value <= _BITS[1]:
        return orjson.Fragment(str(value))
    return value


def text_of(value: Any) -> str:
    """A scalar as JSON spells it, text without its quotes: what a header, a query or an XML element holds of it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return dumps(value).decode()
