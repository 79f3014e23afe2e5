"""Statements in both dialects: values are bound, names are quoted, pages are ordered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from gateway.query.columns import Dialect, table
from gateway.query.odata_filter import parse_filter
from gateway.query.plan import Order, Query
from gateway.query.sql import select
from gateway.schema.types import Enumeration, Field, Record, Ref, Scalar, Types

TYPES = Types({"State": Enumeration("State", ("open", "done"), ("open", "done"))})
ITEM = Record(
    "Item",
    (
        Field("id", Scalar("int64")),
        Field("name", Scalar("string")),
        Field("price", Scalar("decimal", precision=9, scale=2)),
        Field("at", Scalar("datetime")),
        Field("state", Ref("State")),
        Field("paid", Scalar("boolean")),
    ),
)
NAMES = [part.name for part in ITEM.fields]
DIALECTS: dict[Dialect, Any] = {"sqlite": sqlite.dialect(), "postgresql": postgresql.asyncpg.dialect()}


def compiled(query: Query, dialect: Dialect) -> tuple[str, list[Any]]:
    made = select(query, table("items", "shop", NAMES, ITEM, TYPES, dialect), ("id",), ITEM, TYPES, dialect)
    statement = made.rows.compile(dialect=DIALECTS[dialect])
    return " ".join(str(statement).split()), list(statement.params.values())


def where(text: str, dialect: Dialect) -> tuple[str, list[Any]]:
    sql, values = compiled(Query(filter=parse_filter(text, ITEM, TYPES)), dialect)
    return sql.partition(" WHERE ")[2].partition(" ORDER BY")[0], values


@pytest.mark.parametrize("dialect", list(DIALECTS))
@given(text=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_no_text_of_a_client_is_text_of_a_statement(dialect: Dialect, text: str) -> None:
    """CASES B53."""
    literal = "'" + text.replace("'", "''") + "'"
    for filter_ in ("name eq {}", "contains(name,{})", "endswith(tolower(name),{})", "name in ({},'q')"):
        sql, _ = where(filter_.format(literal), dialect)
        other, _ = where(filter_.format("'zzz'"), dialect)
        assert sql == other


def test_wildcards_of_like_are_escaped() -> None:
    sql, values = where("contains(name,'50%_\\') and startswith(name,'a') and endswith(name,'b')", "postgresql")
    assert sql.count(" LIKE ") == 3
    assert values == ["%50\\%\\_\\\\%", "a%", "%b"]


@pytest.mark.parametrize(
    ("filter_", "condition"),
    [
        ("id eq 1", 'shop."items"."id" = $1::BIGINT'),
        ("state eq 'open'", 'CAST(shop."items"."state" AS VARCHAR) = $1::VARCHAR'),
        ("name eq null", '(shop."items"."name" IS NULL)'),
        ("id in (1,2)", '(shop."items"."id" = $1::BIGINT) OR (shop."items"."id" = $2::BIGINT)'),
        ("not (id gt 1)", '(NOT (coalesce(shop."items"."id" > $1::BIGINT, $2::BOOLEAN)))'),
        ("date(at) eq 2024-05-01", 'CAST(shop."items"."at" AS DATE) = $1::DATE'),
        ("price lt 1.5 and paid", '(shop."items"."price" < $1::NUMERIC) AND (shop."items"."paid" = $2::BOOLEAN)'),
    ],
)
def test_comparisons_stay_plain_for_an_index(filter_: str, condition: str) -> None:
    assert where(filter_, "postgresql")[0] == condition


@pytest.mark.parametrize(
    "filter_",
    [
        "indexof(name,'a') eq 1 and substring(name,1,2) eq 'b' and trim(toupper(name)) eq 'X'",
        "contains(name,name) or startswith('x',name)",
        "year(at) eq 2024 and second(at) lt 3 and length(concat(name,'x')) gt 2",
        "round(price) eq 1 or floor(price) eq 1 or ceiling(price) eq 1 or -price lt 0",
        "id add 1 sub 2 mul 3 div 4 eq id mod 5",
    ],
)
def test_every_function_has_sql_in_both_dialects(filter_: str) -> None:
    for dialect in DIALECTS:
        assert where(filter_, dialect)[0]


def test_the_key_is_the_last_order() -> None:
    sql, _ = compiled(Query(order=(Order("name", True),), skip=5, top=2), "postgresql")
    assert sql.endswith(
        'ORDER BY shop."items"."name" DESC NULLS LAST, shop."items"."id" ASC LIMIT $1::INTEGER OFFSET $2::INTEGER'
    )
    assert compiled(Query(top=2), "sqlite")[1][0] == 3
