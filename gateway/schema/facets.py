"""What restricts a scalar: ranges, lengths, patterns, digits; and whether a value is of its kind at all.

A check takes a canonical value and tells what is wrong with it ("must be at least 1"), or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from gateway.schema.lexical import EXPECTED, MAX_DIGITS
from gateway.schema.patterns import matcher
from gateway.schema.types import Scalar, ScalarKind

Check = Callable[[Any], str | None]

RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
MAX_FLOAT: Final = 3.4028234663852886e38  # the largest finite value of 32 bits

CLASSES: Final[Mapping[ScalarKind, tuple[type, ...]]] = {
    "int32": (int,),
    "int64": (int,),
    "float": (float, int),
    "double": (float, int),
    "decimal": (Decimal, int),
    "string": (str,),
    "boolean": (bool,),
    "datetime": (datetime,),
    "date": (date,),
    "time": (time,),
    "duration": (timedelta,),
    "uuid": (UUID,),
    "bytes": (bytes,),
}


def integer_range(scalar: Scalar) -> tuple[int, int]:
    """The least and the greatest value, of its bits and of its facets."""
    low, high = RANGES[scalar.kind]
    if scalar.minimum is not None:
        low = max(low, math.ceil(scalar.minimum))
    if scalar.exclusive_minimum is not None:
        low = max(low, math.floor(scalar.exclusive_minimum) + 1)
    if scalar.maximum is not None:
        high = min(high, math.floor(scalar.maximum))
    if scalar.exclusive_maximum is not None:
        high = min(high, math.ceil(scalar.exclusive_maximum) - 1)
    return low, high


def check(scalar: Scalar) -> Check | None:
    """The check of a scalar's facets on a value of the right kind; None where there is nothing to check."""
    checks = [
        made
        for made in (_integers(scalar), _bounds(scalar), _floats(scalar), _length(scalar), _pattern(scalar))
        if made is not None
    ]
    if scalar.kind == "decimal":
        checks.append(_digits(scalar))
    if len(checks) < 2:
        return checks[0] if checks else None
    return lambda value: next((wrong for one in checks if (wrong := one(value)) is not None), None)


def is_of_kind(kind: ScalarKind) -> Callable[[Any], bool]:
    """Whether a Python value is a canonical one of this kind; an int passes where a fraction may stand."""
    classes = CLASSES[kind]
    if kind == "boolean":
        return lambda value: value is True or value is False
    if kind == "date":
        return lambda value: isinstance(value, date) and not isinstance(value, datetime)
    if int in classes:
        return lambda value: isinstance(value, classes) and value.__class__ is not bool
    return lambda value: isinstance(value, classes)


def _integers(scalar: Scalar) -> Check | None:
    if scalar.kind not in RANGES:
        return None
    low, high = integer_range(scalar)
    bits_low, bits_high = RANGES[scalar.kind]
    expected = EXPECTED[scalar.kind]

    def inspect(value: int) -> str | None:
        if low <= value <= high:
            return None
        if not bits_low <= value <= bits_high:
            return expected
        return f"must be at least {low}" if value < low else f"must be at most {high}"

    return inspect


def _bounds(scalar: Scalar) -> Check | None:
    if scalar.kind not in ("float", "double", "decimal"):
        return None
    made: Callable[[Decimal], Any] = Decimal if scalar.kind == "decimal" else float
    rules: list[tuple[Callable[[Any], bool], str]] = []
    if (bound := scalar.minimum) is not None:
        rules.append((made(bound).__gt__, f"must be at least {bound}"))
    if (bound := scalar.exclusive_minimum) is not None:
        rules.append((made(bound).__ge__, f"must be greater than {bound}"))
    if (bound := scalar.maximum) is not None:
        rules.append((made(bound).__lt__, f"must be at most {bound}"))
    if (bound := scalar.exclusive_maximum) is not None:
        rules.append((made(bound).__le__, f"must be less than {bound}"))
    if not rules:
        return None
    return lambda value: next((message for outside, message in rules if outside(value) is True), None)


def _floats(scalar: Scalar) -> Check | None:
    if scalar.kind != "float":
        return None
    return lambda value: EXPECTED["float"] if MAX_FLOAT < abs(value) < math.inf else None


def _length(scalar: Scalar) -> Check | None:
    least, most = scalar.min_length, scalar.max_length
    if scalar.kind not in ("string", "bytes") or (least is None and most is None):
        return None
    unit = "characters" if scalar.kind == "string" else "bytes"
    low, high = least or 0, math.inf if most is None else most

    def inspect(value: str | bytes) -> str | None:
        if low <= len(value) <= high:
            return None
        return f"must have at least {low} {unit}" if len(value) < low else f"must have at most {high} {unit}"

    return inspect


def _pattern(scalar: Scalar) -> Check | None:
    if scalar.kind != "string" or scalar.pattern is None:
        return None
    matches, message = matcher(scalar.pattern), f"must match the pattern {scalar.pattern}"
    return lambda value: None if matches(value) else message


def digits(value: Decimal) -> tuple[int, int]:
    """How many digits stand before and behind the point, without zeros that say nothing."""
    _sign, figures, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(EXPECTED["decimal"])
    if not any(figures):
        return 0, 0
    zeros = next(count for count, figure in enumerate(reversed(figures)) if figure)
    return max(len(figures) + exponent, 0), max(-exponent - zeros, 0)


def _digits(scalar: Scalar) -> Check:
    scale = scalar.scale
    if scale is None:
        scale = MAX_DIGITS if scalar.precision is None else scalar.precision
    before = MAX_DIGITS if scalar.precision is None else scalar.precision - (scalar.scale or 0)
    precision = scalar.precision
    least = scalar.scale if scalar.scale is not None else -1 if precision else MAX_DIGITS  # digits that surely fit

    def inspect(value: Decimal | int) -> str | None:
        value = Decimal(value)
        if not value.is_finite():
            return EXPECTED["decimal"]
        if value.adjusted() < before and value.as_tuple()[2] >= -least:  # type: ignore[operator]
            return None
        whole, fraction = digits(value)
        if whole > before:
            return f"must have at most {before} digits before the point"
        if fraction > scale:
            return f"must have at most {scale} digits behind the point"
        return f"must have at most {precision} digits" if precision and whole + fraction > precision else None

    return inspect
