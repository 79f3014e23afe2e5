"""What the call rows run: as little as a process can do, so that the row shows what the gateway costs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gateway import process


@dataclass
class Price:
    id: int
    name: str
    amount: Decimal


@process(effect="safe")
async def find_price(id: int) -> Price:
    """A price."""
    return Price(id, f"Product {id}", Decimal("19.90"))
