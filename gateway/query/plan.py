"""One query plan for OData URLs and REST query parameters, whatever backend answers it.

`filter` is an odata-query AST node (its classes are the common language, see PROTOCOLS O); field names are those of
the entity type. A backend that cannot do a part raises NotImplementedHere, never leaves it out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Order:
    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """`key` looks one row up; then only `select` may be given beside it. `count`: the rows that match, before
    `skip` and `top`."""

    filter: Any = None
    order: tuple[Order, ...] = ()
    select: tuple[str, ...] | None = None
    skip: int = 0
    top: int | None = None
    count: bool = False
    key: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as canonical values. `more`: rows remain behind this page."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    count: int | None = None
    more: bool = False
