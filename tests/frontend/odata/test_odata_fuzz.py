from __future__ import annotations

import asyncio
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from odata_service import Fixed, Service, fixed_service

PIECES = [
    *("Orders", "Lines", "find_tax", "rate", "(", ")", "1", "'a'", "id=1", "order=1", ",", "line=2", "/", "$count"),
    *("customer", "country='DE'", "amount=1.5", "@a", "%27", "%2f", "%00", "%", "%c3%a9", "é", "$value", "$ref"),
]
OPTIONS = [
    *(
        "$filter",
        "$select",
        "$orderby",
        "$top",
        "$skip",
        "$count",
        "$format",
        "$skiptoken",
        "$expand",
        "@a",
        "x",
        "=",
        "&",
    ),
    *(
        "id eq 1",
        "id",
        "*",
        "desc",
        "1",
        "-1",
        "true",
        "json",
        "application/json;odata.metadata=full",
        "'a'",
        "%zz",
        ",",
    ),
]


@settings(max_examples=400, deadline=None)
@given(
    path=st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    query=st.lists(st.sampled_from(OPTIONS), max_size=8).map("".join) | st.text(max_size=30),
    method=st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"POST", b"DELETE"]),
    accept=st.sampled_from(
        ["*/*", "application/json", "application/json;IEEE754Compatible=true", "text/html", ";;,q=2"]
    ),
)
def test_every_url_is_answered_or_refused(path: str, query: str, method: bytes, accept: str) -> None:
    """PROTOCOLS O3: 400, 404, 405, 406, 501, never a failure."""
    service: Service = fixed_service(Fixed())
    safe = quote(query, safe="%$=&@'(),;*")
    status, _, _ = asyncio.run(service.request(method, quote(path, safe="%/()=',@$"), safe, Accept=accept))
    assert status in (200, 204, 400, 404, 405, 406, 501)
