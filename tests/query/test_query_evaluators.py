"""The two evaluators are equal: the same rows, random filters, memory against a real SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.backend.sql import Connection
from gateway.core.call import Call, Context
from gateway.query.database import connect
from gateway.query.memory import evaluate
from gateway.query.odata_filter import parse_filter
from gateway.query.plan import Order, Query
from gateway.schema.types import Enumeration, Field, Record, Ref, Scalar, Types
from gateway.snapshot.spec import ColumnSpec, EntitySetSpec, TableSpec

TYPES = Types({"Status": Enumeration("Status", ("open", "done"), ("open", "done"))})
ITEM = Record(
    "Item",
    (
        Field("id", Scalar("int64")),
        Field("name", Scalar("string"), nullable=True),
        Field("other", Scalar("string"), nullable=True),
        Field("size", Scalar("int32"), nullable=True),
        Field("price", Scalar("decimal", precision=12, scale=2), nullable=True),
        Field("weight", Scalar("double"), nullable=True),
        Field("active", Scalar("boolean"), nullable=True),
        Field("day", Scalar("date"), nullable=True),
        Field("at", Scalar("datetime"), nullable=True),
        Field("status", Ref("Status"), nullable=True),
    ),
)
NAMES = [field.name for field in ITEM.fields]
CREATE = """CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, other TEXT, size INTEGER, price NUMERIC(12,2),
weight REAL, active BOOLEAN, day DATE, at DATETIME, status TEXT)"""
TEXTS = [None, "", "a", "A", "ab", "a%b", "a_b", "\\", "Straße", "ÄB", "o'b", "%", "_", " a ", "b'--"]


def rows() -> list[dict[str, Any]]:
    made = []
    for number in range(60):
        made.append(
            {
                "id": number,
                "name": TEXTS[number % len(TEXTS)],
                "other": TEXTS[(number * 7 + 3) % len(TEXTS)],
                "size": None if number % 5 == 4 else number % 7 - 3,
                "price": None if number % 6 == 5 else Decimal(number % 9 * 25 - 75) / 100,
                "weight": None if number % 4 == 3 else number / 4 - 5,
                "active": (True, False, None)[number % 3],
                "day": None if number % 8 == 7 else date(2023 + number % 2, 1 + number % 12, 1 + number % 28),
                "at": None
                if number % 9 == 8
                else datetime(2024, 1 + number % 12, 1 + number % 28, number % 24, number % 60, 0, 500000, tzinfo=UTC),
                "status": ("open", "done", None)[number % 3],
            }
        )
    return made


ROWS = rows()


def stored(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value.isoformat() if isinstance(value, date) else value


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = Path(tmp_path_factory.mktemp("sql")) / "items.db"
    with sqlite3.connect(path) as database:
        database.execute(CREATE)
        database.executemany(
            f"INSERT INTO items VALUES ({','.join('?' * len(NAMES))})",
            [[stored(row[name]) for name in NAMES] for row in ROWS],
        )
    database.close()
    loop = asyncio.new_event_loop()
    engine, dialect = connect(f"sqlite+aiosqlite:///{path}", 1)
    connection = Connection(engine, dialect, 10)
    spec = EntitySetSpec(
        name="Items",
        type="Item",
        key=("id",),
        backend="db",
        table=TableSpec(name="items", columns=tuple(ColumnSpec(name=name, schema_={}) for name in NAMES)),
    )
    backend = connection.entity_set(spec, ITEM, TYPES)
    yield lambda query: loop.run_until_complete(backend.invoke(Call("Items", {}, Context("1"), query)))
    loop.run_until_complete(connection.close())
    loop.close()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


literal_text = st.sampled_from([text for text in TEXTS if text is not None]).map(quoted)
text = st.recursive(
    st.sampled_from(["name", "other"]) | literal_text,
    lambda inner: st.one_of(
        st.builds("tolower({})".format, inner),
        st.builds("toupper({})".format, inner),
        st.builds("trim({})".format, inner),
        st.builds("concat({},{})".format, inner, inner),
        st.builds("substring({},1)".format, inner),
        st.builds("substring({},0,{})".format, inner, st.integers(0, 3)),
    ),
    max_leaves=3,
)
whole = (
    st.recursive(
        st.just("size") | st.integers(-5, 5).map(str),
        lambda inner: st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from(["add", "sub", "mul"]), inner),
            st.builds("({} {} {})".format, inner, st.sampled_from(["div", "mod"]), st.sampled_from(["2", "3", "-2"])),
            st.builds("-({})".format, inner),
        ),
        max_leaves=4,
    )
    | st.builds("length({})".format, text)
    | st.builds("indexof({},{})".format, text, text)
)
moment = st.sampled_from(["at", "2024-03-03T02:02:00.5Z", "2024-06-01T00:00:00+02:00", "2024-01-01T10:00Z"])
number = st.one_of(
    whole,
    st.sampled_from(["price", "weight", "0.25", "-1.5", "2.5e-1"]),
    st.builds("{}({})".format, st.sampled_from(["round", "floor", "ceiling"]), st.sampled_from(["price", "weight"])),
    st.builds("{}(at)".format, st.sampled_from(["year", "month", "day", "hour", "minute", "second"])),
)
day = st.sampled_from(["day", "date(at)", "2024-03-03", "2023-01-01"])
order = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"])
equal = st.sampled_from(["eq", "ne"])


def compared(operand: st.SearchStrategy[str], operators: st.SearchStrategy[str] = order) -> st.SearchStrategy[str]:
    return st.builds("{} {} {}".format, operand, operators, operand | st.just("null"))


boolean = st.recursive(
    st.one_of(
        compared(text),
        compared(number),
        compared(day),
        compared(moment),
        compared(st.sampled_from(["active", "true", "false"]), equal),
        st.builds("status {} {}".format, equal, st.sampled_from(["'open'", "'done'", "null", "Ns.Status'open'"])),
        st.just("active"),
        st.builds("{}({},{})".format, st.sampled_from(["contains", "startswith", "endswith"]), text, text),
        st.builds(
            "name in ({})".format, st.lists(literal_text | st.just("null"), min_size=1, max_size=3).map(",".join)
        ),
        st.builds("size in ({})".format, st.lists(st.integers(-3, 3).map(str), min_size=1, max_size=3).map(",".join)),
        st.just("status in ('open',null)"),
    ),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("not ({})".format, inner),
        st.builds("({}) eq ({})".format, inner, inner),
        st.builds("({}) ne ({})".format, inner, inner),
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filter_=boolean)
def test_both_evaluators_find_the_same_rows(run: Any, filter_: str) -> None:
    tree = parse_filter(filter_, ITEM, TYPES)
    query = Query(filter=tree, count=True, top=100)
    in_memory = evaluate(query, ROWS, ITEM, TYPES, 1000)
    in_sql = run(query)
    assert [row["id"] for row in in_sql.rows] == [row["id"] for row in in_memory.rows]
    assert in_sql.count == in_memory.count


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(st.sampled_from(NAMES), max_size=3, unique=True),
    descending=st.booleans(),
    skip=st.integers(0, 70),
    top=st.integers(0, 70),
    select=st.none() | st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple),
)
def test_both_evaluators_make_the_same_pages(
    run: Any, fields: list[str], descending: bool, skip: int, top: int, select: tuple[str, ...] | None
) -> None:
    orders = tuple(Order(name, descending) for name in fields)
    query = Query(order=orders, skip=skip, top=top, count=True, select=select)
    assert run(query) == evaluate(query, ROWS, ITEM, TYPES, 1000)


def test_a_key_finds_one_row_or_none(run: Any) -> None:
    for key in ({"id": 7}, {"id": 1000}):
        query = Query(key=key)
        assert run(query) == evaluate(query, ROWS, ITEM, TYPES, 1000)
