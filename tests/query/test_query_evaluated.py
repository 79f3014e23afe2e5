from __future__ import annotations

from typing import Any

import pytest

from gateway.core.call import Call, Context
from gateway.core.errors import BadGateway
from gateway.query.evaluated import Evaluated
from gateway.query.odata_filter import parse_filter
from gateway.query.plan import Query
from gateway.schema.types import Field, Record, Scalar, Types

ITEM = Record("Item", (Field("id", Scalar("int64")),))


class Answering:
    closed = False

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def invoke(self, _call: Call) -> Any:
        return self.answer

    async def close(self) -> None:
        self.closed = True


async def ask(answer: Any, query: Query | None) -> Any:
    return await Evaluated(Answering(answer), ITEM, Types(), 1000).invoke(Call("list", {}, Context("1"), query))


@pytest.mark.parametrize("count", [10, 1000])
async def test_an_operations_rows_are_queried(count: int) -> None:
    """Few inline, many beside the loop."""
    query = Query(filter=parse_filter("id ge 5", ITEM, Types()), top=2, count=True)
    page = await ask([{"id": number} for number in range(count)], query)
    assert ([row["id"] for row in page.rows], page.count, page.more) == ([5, 6], count - 5, True)


async def test_too_many_rows_are_refused() -> None:
    with pytest.raises(BadGateway, match="more than 1000 rows"):
        await ask([{"id": 1}] * 1001, Query(top=1))


async def test_what_is_no_list_is_a_bad_gateway() -> None:
    with pytest.raises(BadGateway, match="did not answer a list"):
        await ask(None, None)


async def test_what_it_wraps_is_closed() -> None:
    backend = Answering([])
    await Evaluated(backend, ITEM, Types(), 1).close()
    assert backend.closed
