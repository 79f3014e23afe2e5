"""A process or an HTTP operation as an entity set: its rows are queried in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.call import Backend, Call
from gateway.core.errors import BadGateway
from gateway.query.memory import evaluate
from gateway.query.plan import Page, Query
from gateway.schema.types import Record, Types

MAX_INLINE: Final = 200  # rows; more are evaluated beside the loop, which then serves others meanwhile


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Runs `backend` and answers `call.query` over its rows, a `Page`. Closes what it wraps."""

    backend: Backend
    record: Record
    types: Types
    max_rows: int

    async def invoke(self, call: Call) -> Page:
        rows: Any = await self.backend.invoke(call)
        if not isinstance(rows, list):
            raise BadGateway("The operation behind this entity set did not answer a list.")
        query = call.query if isinstance(call.query, Query) else Query()
        if len(rows) <= MAX_INLINE:
            return evaluate(query, rows, self.record, self.types, self.max_rows)
        return await asyncio.to_thread(evaluate, query, rows, self.record, self.types, self.max_rows)

    async def close(self) -> None:
        await self.backend.close()
