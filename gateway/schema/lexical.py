"""How scalars are spelled: one canonical spelling out, a strict grammar in. JSON strings, parameters, XML and OData
literals share it. A parser raises ValueError with what was expected; a formatter takes a canonical value.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from gateway.schema.types import ScalarKind

MAX_DIGITS: Final = 1000  # of a decimal without a precision, on either side of its point

_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,12})?"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(_CLOCK)
_DATETIME = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt]{_CLOCK}(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])")
_DURATION = re.compile(
    r"(-)?P(?=[0-9T])(?:([0-9]{1,9})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,14})H)?(?:([0-9]{1,14})M)?(?:([0-9]{1,14})(?:\.([0-9]{1,12}))?S)?)?"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(rf"[+-]?(?:[0-9]{{1,{MAX_DIGITS}}}(?:\.[0-9]{{0,{MAX_DIGITS}}})?|\.[0-9]{{1,{MAX_DIGITS}}})")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")

EXPECTED: Final[Mapping[ScalarKind, str]] = {
    "int32": "must be an integer of 32 bits",
    "int64": "must be an integer of 64 bits",
    "float": "must be a number that a 32-bit float can hold",
    "double": "must be a number that a 64-bit float can hold",
    "decimal": "must be a decimal number such as 12.50, without an exponent",
    "string": "must be a string",
    "boolean": "must be true or false",
    "datetime": "must be a date and time with an offset (RFC 3339), such as 2024-05-01T12:30:00Z",
    "date": "must be a date such as 2024-05-01",
    "time": "must be a time of day such as 12:30:00",
    "duration": "must be an ISO 8601 duration of days and time, such as P1DT2H",
    "uuid": "must be a UUID such as 6f1f5a0e-3c1b-4b8e-9d0a-2f6a1c0b7d55",
    "bytes": "must be base64 with padding (RFC 4648 section 4)",
}


def _strict(kind: ScalarKind, grammar: re.Pattern[str], convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser of texts that the grammar matches whole; what `convert` refuses is refused as well."""
    fullmatch, expected = grammar.fullmatch, EXPECTED[kind]

    def parse(text: str) -> Any:
        if fullmatch(text) is None:
            raise ValueError(expected)
        try:
            return convert(text)
        except (ValueError, ArithmeticError):
            raise ValueError(expected) from None

    return parse


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(EXPECTED["duration"])
    sign, days, hours, minutes, seconds, fraction = found.groups()
    span = timedelta(
        days=int(days or 0),
        hours=int(hours or 0),
        minutes=int(minutes or 0),
        seconds=int(seconds or 0),
        microseconds=int((fraction or "0")[:6].ljust(6, "0")),
    )
    return -span if sign else span


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise ValueError(EXPECTED["boolean"])


def _bytes(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError(EXPECTED["bytes"]) from None


def _string(text: str) -> str:
    return text


PARSERS: Final[Mapping[ScalarKind, Callable[[str], Any]]] = {
    "int32": _strict("int32", _INTEGER, int),
    "int64": _strict("int64", _INTEGER, int),
    "float": _strict("float", _FLOAT, _finite),
    "double": _strict("double", _FLOAT, _finite),
    "decimal": _strict("decimal", _DECIMAL, Decimal),
    "string": _string,
    "boolean": _boolean,
    "datetime": _strict("datetime", _DATETIME, lambda text: datetime.fromisoformat(text.upper())),
    "date": _strict("date", _DATE, date.fromisoformat),
    "time": _strict("time", _TIME, time.fromisoformat),
    "duration": _strict("duration", _DURATION, _duration),
    "uuid": _strict("uuid", _UUID, UUID),
    "bytes": _bytes,
}
"""Fractions of a second beyond microseconds are cut off: .NET clients send seven digits."""


def parse_special_float(text: str) -> float | None:
    """XSD's INF, -INF and NaN; None for any other text."""
    return _SPECIAL.get(text)


_SPECIAL: Final = {"INF": math.inf, "-INF": -math.inf, "NaN": math.nan}


_WIDEST: Final = timedelta(hours=14)  # XML Schema part 2, section 3.2.7.3


def format_datetime(value: datetime) -> str:
    """RFC 3339. ValueError without an offset; one with seconds, or beyond the 14 hours that XSD knows, becomes UTC."""
    offset = value.utcoffset()
    if offset is None:
        raise ValueError("must have an offset; use datetime.now(UTC) or replace(tzinfo=…)")
    if offset % timedelta(minutes=1) or abs(offset) > _WIDEST:
        with contextlib.suppress(OverflowError):  # a moment of the first or the last day that there is
            value = value.astimezone(UTC)
    text = value.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def format_time(value: time) -> str:
    if value.tzinfo is not None:
        raise ValueError("must be a time of day without an offset")
    return value.isoformat()


def format_duration(value: timedelta) -> str:
    """ISO 8601 in days, hours, minutes and seconds: `P1DT2H`, `-PT0.5S`, `PT0S`."""
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    clock = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    if seconds or fraction:
        clock += f"{seconds}{fraction}S"
    if not clock and not value.days:
        return "PT0S"
    return f"{sign}P{f'{value.days}D' if value.days else ''}{f'T{clock}' if clock else ''}"


def format_decimal(value: Decimal | int) -> str:
    """Without an exponent."""
    return str(value) if isinstance(value, int) else format(value, "f")


def format_float(value: float) -> str:
    """The shortest text that reads back as the same double; XSD's spelling of what is not finite."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"


def format_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


FORMATTERS: Final[Mapping[ScalarKind, Callable[[Any], str]]] = {
    "int32": str,
    "int64": str,
    "float": format_float,
    "double": format_float,
    "decimal": format_decimal,
    "string": _string,
    "boolean": lambda value: "true" if value else "false",
    "datetime": format_datetime,
    "date": date.isoformat,
    "time": format_time,
    "duration": format_duration,
    "uuid": str,
    "bytes": format_bytes,
}
