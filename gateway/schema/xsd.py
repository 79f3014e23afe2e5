"""XSD of scalars (PROTOCOLS T): a built-in base and the facets that restrict it.

Facets are true where XSD can say it: what they admit is what the reader accepts. A pattern of ECMA 262 is carried
over when it means the same in XSD (which matches whole values), otherwise left out, and the reader alone checks it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from gateway.schema.facets import integer_range
from gateway.schema.lexical import format_decimal
from gateway.schema.types import Scalar, ScalarKind


@dataclass(frozen=True, slots=True)
class XsdType:
    """`base` is a built-in with the prefix xs; `facets` are names and values of `xs:restriction`'s children."""

    base: str
    facets: dict[str, str] = field(default_factory=dict)


BASES: Final[dict[ScalarKind, str]] = {
    "int32": "xs:int",
    "int64": "xs:long",
    "float": "xs:float",
    "double": "xs:double",
    "decimal": "xs:decimal",
    "string": "xs:string",
    "boolean": "xs:boolean",
    "datetime": "xs:dateTime",
    "date": "xs:date",
    "time": "xs:time",
    "duration": "xs:duration",
    "uuid": "xs:string",
    "bytes": "xs:base64Binary",
}
PATTERNS: Final[dict[ScalarKind, str]] = {
    "datetime": r".*(Z|[+\-][0-9]{2}:[0-9]{2})",  # an offset
    "date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",  # none
    "time": r"[0-9:.]+",
    "duration": r"-?P([0-9]+D)?(T.+)?",  # neither years nor months
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
_SAME_IN_XSD: Final = re.compile(
    r"(?:[^\\()\[\]{}*+?.|^$&~]|\\[.\\()\[\]{}*+?|^$/-]|[()|.*+?](?!\?)|\{[0-9]+(?:,[0-9]*)?\}(?!\?)"
    r"|\[\^?(?:[A-Za-z0-9 _.,:;/@#%=](?:-[A-Za-z0-9])?|\\[-.\\\]\[^])+-?\])*"
)


def simple_type(scalar: Scalar) -> XsdType:
    """The XSD type of a scalar; without facets it is the built-in itself."""
    facets: dict[str, str] = {}
    if scalar.kind in PATTERNS:
        facets["pattern"] = PATTERNS[scalar.kind]
    facets |= _bounds(scalar) | _lengths(scalar)
    if scalar.kind == "decimal":
        facets |= _digits(scalar)
    if scalar.kind == "string" and (pattern := whole_pattern(scalar.pattern)) is not None:
        facets["pattern"] = pattern
    return XsdType(BASES[scalar.kind], facets)


def _lengths(scalar: Scalar) -> dict[str, str]:
    if scalar.kind not in ("string", "bytes"):
        return {}
    limits = {"minLength": scalar.min_length, "maxLength": scalar.max_length}
    return {name: str(limit) for name, limit in limits.items() if limit is not None}


def _digits(scalar: Scalar) -> dict[str, str]:
    facets = {} if scalar.precision is None else {"totalDigits": str(scalar.precision)}
    return facets if scalar.scale is None else facets | {"fractionDigits": str(scalar.scale)}


def _bounds(scalar: Scalar) -> dict[str, str]:
    if scalar.kind in ("int32", "int64"):
        low, high = integer_range(scalar)
        free = integer_range(Scalar(scalar.kind))
        bounds = {"minInclusive": low} if low != free[0] else {}
        return {
            name: str(bound) for name, bound in (bounds | ({"maxInclusive": high} if high != free[1] else {})).items()
        }
    limit = None
    if scalar.precision is not None and scalar.scale:
        limit = Decimal(10) ** (scalar.precision - scalar.scale)
    return _tighter(("minInclusive", scalar.minimum), ("minExclusive", scalar.exclusive_minimum), limit, -1) | _tighter(
        ("maxInclusive", scalar.maximum), ("maxExclusive", scalar.exclusive_maximum), limit, 1
    )


Bound = tuple[str, Decimal | None]


def _tighter(inclusive: Bound, exclusive: Bound, limit: Decimal | None, sign: int) -> dict[str, str]:
    """XSD takes one bound on a side: the one that admits least. `sign` is 1 above and -1 below."""
    bounds = [inclusive, exclusive, (exclusive[0], None if limit is None else sign * limit)]
    given = [(name, bound) for name, bound in bounds if bound is not None]
    if not given:
        return {}
    name, bound = min(given, key=lambda each: (sign * each[1], each[0].endswith("Inclusive")))
    return {name: format_decimal(bound)}


def whole_pattern(pattern: str | None) -> str | None:
    """An XSD pattern for a JSON Schema pattern, which may match anywhere; None where XSD cannot say the same."""
    if pattern is None:
        return None
    start, end = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern[1 if start else 0 : -1 if end else None]
    if _SAME_IN_XSD.fullmatch(inner) is None or ("|" in inner and (start or end)):
        return None
    inner = f"({inner})" if "|" in inner else inner
    return inner if start and end else f"{'' if start else '.*'}{inner}{'' if end else '.*'}"
