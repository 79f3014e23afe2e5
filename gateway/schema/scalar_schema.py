"""JSON Schema of scalars, both ways: types, formats and facets (PROTOCOLS T).

Where JSON Schema's own words are looser than the type (a decimal's digits, a duration without years) the schema that
is written carries a pattern as well, so that what it admits is what the reader accepts. Reading drops it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from gateway.schema.facets import MAX_FLOAT, RANGES
from gateway.schema.types import Scalar, ScalarKind

FORMATS: Final[Mapping[str, Mapping[str | None, ScalarKind]]] = {
    "integer": {None: "int64", "int32": "int32", "int64": "int64"},
    "number": {None: "double", "double": "double", "float": "float", "decimal": "decimal"},
    "boolean": {None: "boolean"},
    "string": {
        None: "string",
        "date-time": "datetime",
        "date": "date",
        "time": "time",
        "time-local": "time",
        "duration": "duration",
        "uuid": "uuid",
        "byte": "bytes",
        "decimal": "decimal",
    },
}
_WRITTEN: Final[Mapping[ScalarKind, dict[str, Any]]] = {
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "decimal": {"type": ["string", "number"], "format": "decimal"},
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "time": {
        "type": "string",
        "format": "time-local",
        "pattern": r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,12})?$",
    },
    "duration": {
        "type": "string",
        "format": "duration",
        "pattern": r"^-?P(?=[0-9T])([0-9]{1,9}D)?"
        r"(T(?=[0-9])([0-9]{1,6}H)?([0-9]{1,6}M)?([0-9]{1,6}(\.[0-9]{1,12})?S)?)?$",
    },
    "uuid": {"type": "string", "format": "uuid"},
    "bytes": {"type": "string", "format": "byte", "contentEncoding": "base64"},
}
_BOUNDS: Final = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
}
_RANGES: Final[Mapping[str, tuple[float, float]]] = {**RANGES, "float": (-MAX_FLOAT, MAX_FLOAT)}
_QUAD: Final = "(?:[A-Za-z0-9+/]{4})"  # of base64: three bytes
_MAX_COUNTED: Final = 1000  # bytes up to which a pattern counts them; JSON Schema's own lengths count characters
NUMERIC: Final = frozenset(("int32", "int64", "float", "double", "decimal"))
KEYWORDS: Final = frozenset(
    (
        "type", "format", "contentEncoding", "minLength", "maxLength", "pattern", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "x-precision", "x-scale", "x-min-bytes", "x-max-bytes",
    )
)  # fmt: skip


def kind_of(json_type: str, schema: Mapping[str, Any]) -> ScalarKind | None:
    """The kind of a scalar schema; None for a format that is not known."""
    format_ = schema.get("format")
    if format_ is None and json_type == "string" and schema.get("contentEncoding") == "base64":
        return "bytes"
    return FORMATS[json_type].get(format_)


def read_scalar(kind: ScalarKind, schema: Mapping[str, Any]) -> tuple[Scalar, list[tuple[str, str]]]:
    """The scalar, and what is wrong: (keyword, message)."""
    wrong: list[tuple[str, str]] = []
    scalar = Scalar(kind)
    facets = {key: value for key, value in schema.items() if _WRITTEN[kind].get(key) != value}
    for reading in (_read_bounds, _read_lengths, _read_digits):
        scalar = reading(scalar, facets, wrong)
    if (pattern := facets.get("pattern")) is not None:
        if kind == "string" and isinstance(pattern, str):
            scalar = replace(scalar, pattern=pattern)
        elif pattern not in (_decimal_pattern(scalar), _bytes_pattern(scalar)):
            wrong.append(("pattern", f"a {kind} takes no pattern"))
    if "multipleOf" in facets and not (kind == "decimal" and facets["multipleOf"] == _multiple(scalar)):
        wrong.append(("multipleOf", "multipleOf is not supported; a decimal's x-scale limits its digits"))
    return scalar, wrong


def _read_bounds(scalar: Scalar, facets: Mapping[str, Any], wrong: list[tuple[str, str]]) -> Scalar:
    for keyword, name in _BOUNDS.items():
        value = facets.get(keyword)
        if value is None:
            continue
        if scalar.kind not in NUMERIC:
            wrong.append((keyword, f"a {scalar.kind} takes no {keyword}"))
        elif isinstance(value, int | float) and not isinstance(value, bool) and Decimal(str(value)).is_finite():
            if not _implied(scalar.kind, keyword, value):
                bound: dict[str, Any] = {name: Decimal(str(value))}
                scalar = replace(scalar, **bound)
        else:
            wrong.append((keyword, f"{keyword} must be a number"))
    return scalar


def _implied(kind: ScalarKind, keyword: str, value: float) -> bool:
    """A bound that the kind's bits set anyway."""
    low, high = _RANGES.get(kind, (None, None))
    return (keyword == "minimum" and value == low) or (keyword == "maximum" and value == high)


def _count(facets: Mapping[str, Any], keyword: str, wrong: list[tuple[str, str]]) -> int | None:
    value = facets.get(keyword)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    wrong.append((keyword, f"{keyword} must be a whole number, 0 or more"))
    return None


def _read_lengths(scalar: Scalar, facets: Mapping[str, Any], wrong: list[tuple[str, str]]) -> Scalar:
    least, most = _count(facets, "minLength", wrong), _count(facets, "maxLength", wrong)
    if scalar.kind == "string":
        return replace(scalar, min_length=least, max_length=most)
    if scalar.kind == "bytes":  # JSON Schema counts the characters of the base64 text
        low, high = _count(facets, "x-min-bytes", wrong), _count(facets, "x-max-bytes", wrong)
        low = least // 4 * 3 if low is None and least is not None else low
        high = most // 4 * 3 if high is None and most is not None else high
        return replace(scalar, min_length=low, max_length=high)
    wrong += [(word, f"a {scalar.kind} takes no {word}") for word in ("minLength", "maxLength") if word in facets]
    return scalar


def _read_digits(scalar: Scalar, facets: Mapping[str, Any], wrong: list[tuple[str, str]]) -> Scalar:
    precision, scale = _count(facets, "x-precision", wrong), _count(facets, "x-scale", wrong)
    if precision is None and scale is None:
        return scalar
    if scalar.kind != "decimal":
        wrong.append(("format", "x-precision and x-scale belong to format: decimal"))
        return scalar
    if precision == 0 or (precision is not None and scale is not None and scale > precision):
        wrong.append(("x-scale", "x-scale must not exceed x-precision, which is at least 1"))
        return scalar
    limit = None if precision is None else Decimal(10) ** (precision - (scale or 0))
    return replace(
        scalar,
        precision=precision,
        scale=scale,
        exclusive_maximum=None if scalar.exclusive_maximum == limit else scalar.exclusive_maximum,
        exclusive_minimum=None if limit and scalar.exclusive_minimum == -limit else scalar.exclusive_minimum,
    )


def _multiple(scalar: Scalar) -> int | float | None:
    if scalar.scale is None:
        return None
    return float(Decimal(1).scaleb(-scalar.scale)) if scalar.scale else 1


def _decimal_pattern(scalar: Scalar) -> str:
    """Of the string form: its digits, no sign where nothing negative is admitted, no zero where zero is not."""
    low = max((bound for bound in (scalar.minimum, scalar.exclusive_minimum) if bound is not None), default=-1)
    sign = "-?" if low < 0 else "(?=.*[1-9])" if scalar.exclusive_minimum == 0 else ""
    if scalar.precision is not None and scalar.scale is None:
        return rf"^{sign}(?=([0-9]\.?){{1,{scalar.precision}}}$)[0-9]+(\.[0-9]+)?$"
    before = "[0-9]+"
    if scalar.precision is not None:
        whole = scalar.precision - (scalar.scale or 0)
        before = f"[0-9]{{1,{whole}}}" if whole else "0"
    digits = "+" if scalar.scale is None else f"{{1,{scalar.scale}}}"
    return f"^{sign}{before}$" if scalar.scale == 0 else rf"^{sign}{before}(\.[0-9]{digits})?$"


def _number(value: Decimal) -> int | float:
    """As a JSON number; what 64 bits do not hold is left to a double."""
    return int(value) if abs(value) < 2**63 and value == value.to_integral_value() else float(value)


def write_scalar(scalar: Scalar) -> dict[str, Any]:
    """The schema of a scalar that may not be null."""
    schema = dict(_WRITTEN[scalar.kind])
    if scalar.kind == "decimal":
        schema |= _write_digits(scalar)
    elif scalar.kind in _RANGES:
        schema["minimum"], schema["maximum"] = _RANGES[scalar.kind]
    for keyword, name in _BOUNDS.items():
        if (value := getattr(scalar, name)) is not None:
            schema[keyword] = _number(value)
    if scalar.kind == "bytes":
        return schema | _write_bytes(scalar)
    if scalar.min_length is not None:
        schema["minLength"] = scalar.min_length
    if scalar.max_length is not None:
        schema["maxLength"] = scalar.max_length
    if scalar.pattern is not None:
        schema["pattern"] = scalar.pattern
    return schema


def _write_digits(scalar: Scalar) -> dict[str, Any]:
    schema: dict[str, Any] = {"pattern": _decimal_pattern(scalar)}
    if scalar.precision is not None:
        schema["x-precision"] = scalar.precision
        whole = scalar.precision - (scalar.scale or 0)
        if whole < 300:  # a double holds no more
            limit = _number(Decimal(10) ** whole)
            schema |= {"exclusiveMinimum": -limit, "exclusiveMaximum": limit}
    if scalar.scale is not None:
        schema |= {"x-scale": scalar.scale, "multipleOf": _multiple(scalar)}
    elif scalar.precision is not None:  # digits in all: JSON Schema counts them in strings alone
        schema["type"] = ["string", "integer"]
    return schema


def _write_bytes(scalar: Scalar) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    if scalar.min_length is not None:
        schema |= {"minLength": -(-scalar.min_length // 3) * 4, "x-min-bytes": scalar.min_length}
    if scalar.max_length is not None:
        schema |= {"maxLength": -(-scalar.max_length // 3) * 4, "x-max-bytes": scalar.max_length}
    pattern = _bytes_pattern(scalar)
    return schema if pattern is None else schema | {"pattern": pattern}


def _bytes_pattern(scalar: Scalar) -> str | None:
    """Base64 of so many bytes: whole quads, then none, one or two bytes more."""
    low, high = scalar.min_length or 0, scalar.max_length
    if (low == 0 and high is None) or max(low, high or 0) > _MAX_COUNTED:
        return None
    forms = []
    for more, tail in enumerate(("", "[A-Za-z0-9+/]{2}==", "[A-Za-z0-9+/]{3}=")):
        least = max(-(-(low - more) // 3), 0)
        most = None if high is None else (high - more) // 3
        if most is None or most >= least:
            forms.append(f"{_QUAD}{{{least},{'' if most is None else most}}}{tail}")
    return f"^({'|'.join(forms)})$"
