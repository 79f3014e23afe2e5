"""What one request takes of a limit: a number, one that the request tells, or what its reply says that it was.

What is told by a request is bounded: at least 1, so that nobody calls for nothing, and at most what the limit holds at
once, so that a call can pass. What is no number counts as 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.exchange import Exchange, Reply
from gateway.core.headers import finder, line

MOST: Final = 1_000_000_000  # what every counter holds exactly
Units = Annotated[int, Field(ge=1, le=MOST, strict=True)]
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def _field_name(name: str) -> str:
    line(name.encode("ascii", "replace"), b"")
    return name


class CostHeader(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    header: str = Field(description="the request header that holds the number")

    _named = field_validator("header")(_field_name)


class CostClaim(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    claim: str = Field(description="the claim of the identity that holds the number")


class CostBy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    by: dict[str, Units] = Field(
        min_length=1, description="a method (POST) or an operation's name: what it costs; the operation's goes first"
    )


class CostFrom(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    response_header: str = Field(description="the reply's header that tells what the call was worth")

    _named = field_validator("response_header")(_field_name)


Cost = Units | CostHeader | CostClaim | CostBy
PerRequest = Callable[[Exchange], int]


def dearest(cost: Cost) -> int:
    """The most that is known at publish time to be taken at once."""
    return cost if isinstance(cost, int) else max(cost.by.values()) if isinstance(cost, CostBy) else 1


def cost_of(cost: Cost, most: int) -> int | PerRequest:
    """A constant, or what tells it for each request, from 1 to `most`."""
    if isinstance(cost, int):
        return cost
    if isinstance(cost, CostHeader):
        return _by_header(cost.header, most)
    if isinstance(cost, CostClaim):
        return _by_claim(cost.claim, most)
    return _by_call(cost.by)


def _by_header(name: str, most: int) -> PerRequest:
    find = finder(name.lower().encode())

    def cost(exchange: Exchange) -> int:
        values = find(exchange.head.block)
        return bounded(number(values[0]) if len(values) == 1 else None, most)

    return cost


def _by_claim(name: str, most: int) -> PerRequest:
    def cost(exchange: Exchange) -> int:
        value = exchange.identity.claims.get(name) if exchange.identity is not None else None
        return bounded(value if isinstance(value, int) and not isinstance(value, bool) else None, most)

    return cost


def _by_call(by: Mapping[str, int]) -> PerRequest:
    methods = {name.encode(): units for name, units in by.items() if name in _METHODS}
    operations = {name: units for name, units in by.items() if name not in _METHODS}

    def cost(exchange: Exchange) -> int:
        units = operations.get(exchange.chain.facts.get("operation", ""))
        return units if units is not None else methods.get(exchange.head.method, 1)

    return cost


def names_operation(config: Mapping[str, Any]) -> bool:
    """Whether a limit, as it is written, counts by the operation that runs, or for each endpoint."""
    cost = config.get("cost")
    by = cost.get("by") if isinstance(cost, Mapping) else None
    return config.get("by") == "endpoint" or (isinstance(by, Mapping) and not by.keys() <= _METHODS)


def bounded(value: int | None, most: int) -> int:
    return 1 if value is None else min(max(value, 1), most)


def number(text: bytes) -> int | None:
    """What a field says, None when it is no whole number of up to twelve digits."""
    return int(text) if text.isdigit() and len(text) <= 12 else None


def told_by(source: CostFrom) -> Callable[[Reply], int | None]:
    """What a reply says that its call was worth; None: it says nothing that can be counted."""
    name = source.response_header.lower().encode()

    def cost(reply: Reply) -> int | None:
        value = reply.get(name)
        units = number(value) if value is not None else None
        return min(units, MOST) if units is not None else None

    return cost
