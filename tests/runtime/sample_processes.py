"""Processes for the tests of contracts and of the runtime: one of every kind of annotation."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator
from typing_extensions import TypedDict

from gateway import Context, Problem, process


class Colour(enum.Enum):
    """What it looks like."""

    RED = "red"
    LIGHT_BLUE = "light blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Line(BaseModel):
    """One line."""

    sku: str = Field(min_length=1, max_length=8, pattern="^[A-Z0-9]+$", description="what")
    quantity: int = Field(1, ge=1, le=999)
    price: Decimal = Field(max_digits=12, decimal_places=2)
    colour: Colour = Colour.RED


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: int
    lines: list[Line]
    placed: datetime.datetime | None = None
    parent: Order | None = None
    state: Literal["open", "closed"] = "open"
    shown: str = Field("", alias="shownAs")

    @field_validator("id")
    @classmethod
    def is_not_thirteen(cls, value: int) -> int:
        if value == 13:
            raise ValueError("thirteen is nobody's order")
        return value


@dataclass
class Address:
    street: str
    zip: Annotated[str, Field(pattern="^[0-9]{5}$")] = "00000"
    tags: list[str] = field(default_factory=list)
    size: Size = Size.SMALL


class Row(TypedDict):
    a: int
    b: NotRequired[Address]


class NoSuchOrder(Problem):
    status, title = 404, "No such order"


@process(effect="safe", raises=[NoSuchOrder])
async def get_order(id: int, context: Context) -> Order:
    """Finds an order.

    By its number.
    """
    if id == 404:
        raise NoSuchOrder(f"There is no order {id}.")
    return Order(id=id, lines=[Line(sku="A1", price=Decimal("1.50"))], shownAs=context.call_id)


@process
def double(order: Order, times: int = 2) -> Order:
    return order.model_copy(update={"lines": order.lines * times})


@process(name="everything", effect="idempotent")
def scalars(
    i: Annotated[int, Field(json_schema_extra={"format": "int32"})],
    f: float,
    d: Decimal,
    s: str,
    b: bool,
    raw: bytes,
    at: datetime.datetime,
    day: datetime.date,
    hour: datetime.time,
    span: datetime.timedelta,
    key: UUID,
    free: Any,
    size: Size,
    pair: tuple[int, ...] = (1, 2),
) -> Any:
    assert isinstance(pair, tuple)
    assert isinstance(size, Size)
    return [i, f, s, b, free, str(key), len(pair)]


@process
def move(address: Address, row: Row | None = None) -> Row:
    assert isinstance(address, Address)
    if row is not None:
        assert isinstance(row["b"], Address)
    return {"a": len(address.tags), "b": address}


@process
async def forget(id: int) -> None:
    return None


@process
async def lie() -> int:
    return "no number"  # type: ignore[return-value]


@process
async def break_down() -> int:
    raise RuntimeError("the password is hunter2")
