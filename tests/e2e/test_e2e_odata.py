"""OData over the shop's real table, compared with what SQL says of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.gateway_client import Node

EXCEL = (
    "application/json;odata.metadata=minimal;q=1.0, application/json;odata=minimalmetadata;q=0.9, "
    "application/atomsvc+xml;q=0.8, application/atom+xml;q=0.8, application/xml;q=0.7, text/plain;q=0.7"
)
OLD = "id <= 4000"  # the rows that no other test adds


def query(node: Node, key: str, options: str, path: str = "Orders", **parts: Any) -> Any:
    answer = node.call("GET", f"/shop/v2/odata/{path}?{options}", key, **parts)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(found: Any) -> list[int]:
    return [row["id"] for row in found["value"]]


FILTERS = [
    ("status eq 'open'", "status = 'open'"),
    ("total gt 900 and total le 1000.50", "total > 900 and total <= 1000.5"),
    ("not (status eq 'paid' or status eq 'shipped')", "not (status = 'paid' or status = 'shipped')"),
    ("note eq null", "note is null"),
    ("note ne null and contains(note,'door')", "note like '%door%'"),
    ("startswith(note,'A ')", "note like 'A %'"),
    ("customer_id in (1,2,3)", "customer_id in (1, 2, 3)"),
    ("placed_at ge 2026-01-01T00:00:00Z", "placed_at >= '2026-01-01 00:00:00'"),
    ("year(placed_at) eq 2025 and month(placed_at) eq 2", "strftime('%Y-%m', placed_at) = '2025-02'"),
    ("id mod 7 eq 0 and id add 1 lt 100", "id % 7 = 0 and id + 1 < 100"),
    ("length(note) gt 10", "length(note) > 10"),
]


@pytest.mark.parametrize(("filter_", "where"), FILTERS, ids=[each[0] for each in FILTERS])
def test_a_filter_finds_the_rows_that_sql_finds(node: Node, key: str, filter_: str, where: str) -> None:
    """PROTOCOLS O9."""
    text = quote(f"({filter_}) and id le 4000")
    found = query(node, key, f"$filter={text}&$count=true&$orderby=id&$select=id&$top=1000")
    expected = [row["id"] for row in node.sql(f"SELECT id FROM orders WHERE ({where}) AND {OLD} ORDER BY id")]
    assert expected, "a filter that finds nothing tells nothing"
    assert (ids(found), found["@odata.count"]) == (expected[:1000], len(expected))


def test_order_skip_and_top_cut_the_same_page_as_sql(node: Node, key: str) -> None:
    """PROTOCOLS O8."""
    options = f"$filter={quote('id le 4000')}&$orderby=total%20desc,id%20asc&$skip=37&$top=25"
    rows = node.sql(f"SELECT id FROM orders WHERE {OLD} ORDER BY total DESC, id LIMIT 25 OFFSET 37")
    assert ids(query(node, key, options)) == [row["id"] for row in rows]


def test_select_shows_only_what_was_asked_for(node: Node, key: str) -> None:
    found = query(node, key, "$select=id,status&$top=2&$orderby=id")
    assert [set(row) for row in found["value"]] == [{"id", "status"}] * 2


def test_one_entity_is_found_by_its_key(node: Node, key: str) -> None:
    row = node.sql("SELECT * FROM orders WHERE id = 7")[0]
    found = query(node, key, "", "Orders(7)")
    assert (found["id"], found["customer_id"], found["total"]) == (7, row["customer_id"], row["total"])
    assert node.call("GET", "/shop/v2/odata/Orders(999999)", key).status_code == 404


def test_the_count_of_a_set_is_a_number(node: Node, key: str) -> None:
    answer = node.call("GET", f"/shop/v2/odata/Orders/$count?$filter={quote('id le 4000')}", key)
    assert (answer.status_code, answer.text.lstrip("\ufeff")) == (200, "4000")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_next_links_lead_through_all_rows_exactly_once(node: Node, key: str) -> None:
    """PROTOCOLS O5; the order has ties, so that a page's edge falls between equal rows."""
    url = f"{node.url}/shop/v2/odata/OrderLines?$select=id&$orderby=quantity&$count=true"
    seen: list[int] = []
    pages = 0
    while url:
        body = node.client.get(url, headers={"X-API-KEY": key, "Prefer": "odata.maxpagesize=3000"}).json()
        seen += ids(body)
        pages += 1
        url = body.get("@odata.nextLink", "")
    assert pages > 2
    before = {row["id"] for row in node.sql("SELECT id FROM order_lines WHERE order_id <= 4000")}
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


def test_a_process_is_a_set_that_is_filtered_and_ordered(node: Node, key: str) -> None:
    found = query(node, key, "$filter=" + quote("orders ge 400") + "&$orderby=country%20desc", "Turnover")
    countries = [row["country"] for row in found["value"]]
    assert countries == sorted(countries, reverse=True)
    assert all(row["orders"] >= 400 for row in found["value"])
    every = query(node, key, "", "Turnover")["value"]
    assert len(countries) == sum(row["orders"] >= 400 for row in every)


def test_an_aliased_parameter_calls_a_function(node: Node, key: str) -> None:
    """PROTOCOLS O12."""
    path = "get_order(id=@id)"
    answer = node.call("GET", f"/shop/v2/odata/{path}?@id=7", key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == 7


def test_excels_accept_header_gets_json(node: Node, key: str) -> None:
    """PROTOCOLS O, what clients send."""
    headers = {"Accept": EXCEL, "User-Agent": "Microsoft.Data.Mashup", "OData-MaxVersion": "4.0"}
    for path in ("", "Orders?$top=1", "$metadata"):
        answer = node.call("GET", f"/shop/v2/odata/{path}", key, headers=headers)
        assert answer.status_code == 200
        kind = "application/xml" if path == "$metadata" else "application/json"
        assert answer.headers["Content-Type"].startswith(kind)
        assert answer.headers.get_list("OData-Version") == ["4.0"]


@pytest.mark.parametrize(
    "path",
    ["Orders?$apply=aggregate(total with sum as sum)", "Orders?$search=gift", "Orders?$expand=Lines",
     "Orders?$compute=total mul 2 as double", "$batch", "$entity?$id=Orders(7)", "$crossjoin(Orders,Customers)",
     "$all", "Orders?$nonsense=1"],
)  # fmt: skip
def test_what_is_not_supported_answers_501(node: Node, key: str, path: str) -> None:
    """PROTOCOLS O3: never a silently unfiltered result."""
    answer = node.call("POST" if path == "$batch" else "GET", f"/shop/v2/odata/{quote(path, safe='/?$=&()')}", key)
    assert answer.status_code == 501, answer.text
    assert answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "options",
    ["$filter=nothing eq 1", "$filter=total gt", "$filter=status eq open", "$orderby=nothing", "$top=-1", "$top=x",
     "$select=nothing", "$count=maybe", "$filter=total eq 1&$filter=total eq 2",
     "$filter=total eq 'x'"],
)  # fmt: skip
def test_what_is_wrong_answers_400(node: Node, key: str, options: str) -> None:
    """PROTOCOLS O3."""
    answer = node.call("GET", f"/shop/v2/odata/Orders?{quote(options, safe='$=&')}", key)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "text",
    ["' OR 1=1 --", "'; DROP TABLE orders; --", "x' UNION SELECT 1,2,3,4,5,6 --", "%", "_%", "\\", '"', "é'€", "\\'"],
)
@pytest.mark.parametrize("shape", ["note eq '{}'", "contains(note,'{}')", "startswith(note,'{}')"])
def test_no_text_of_a_client_reaches_the_statement(node: Node, key: str, shape: str, text: str) -> None:
    """No row has such a note: a text that became part of the statement would find rows, or fail."""
    filter_ = quote(shape.format(text.replace("'", "''")) + " and id le 4000")
    assert ids(query(node, key, f"$filter={filter_}&$select=id")) == []
    assert node.sql(f"SELECT count(*) AS n FROM orders WHERE {OLD}")[0]["n"] == 4000
