"""`json-limits` and `xml-limits` before a relay: what is refused, what is told, what goes on."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gateway.telemetry.counters import render_prometheus
from gateway.telemetry.reports import Reports
from tests.policy.body_harness import relaying, response, step
from tests.upstreams import always

XML = "application/xml"


async def test_a_sound_body_goes_on_byte_for_byte() -> None:
    body = b'{ "a": [1, 2.50, "\xc3\xa4"] }\n'
    async with relaying(step("json-limits")) as relay:
        assert (await relay.request(body=body)).status == 200
    assert relay.upstream.received[0].body == body


@pytest.mark.parametrize(
    ("config", "body", "place"),
    [
        ({"depth": 1}, b'{"a": [[1]]}', "$.a"),
        ({"members": 1}, b'{"a": 1, "b": 2}', "$"),
        ({}, b'{"a": 1, "a": 2}', "$"),
        ({}, b"[NaN]", "$"),
        ({}, b"[" + b"9" * 5000 + b"]", "$[0]"),
        ({}, b'["' + b"x" * 100_001 + b'"]', "$[0]"),
    ],
)
async def test_a_body_beyond_the_limits_is_400_with_its_place(config: dict[str, Any], body: bytes, place: str) -> None:
    """CASES B54; the last one is read off the loop."""
    async with relaying(step("message-size", {"limit": "200KB"}), step("json-limits", {"request": config})) as relay:
        answered = await relay.request(body=body)
    assert (answered.status, answered.problem["code"], answered.places) == (400, "invalid_input", [place])
    assert relay.upstream.received == []


async def test_422_is_answered_where_it_is_asked_for() -> None:
    async with relaying(step("json-limits", {"status": 422})) as relay:
        answered = await relay.request(body=b"{")
    assert (answered.status, answered.problem["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("kind", ["json-limits", "xml-limits"])
async def test_a_body_that_hides_behind_another_type_is_415_unless_it_may_pass(kind: str) -> None:
    async with relaying(step(kind)) as relay:
        assert (await relay.request(body=b"[[", media_type="text/plain")).status == 415
    async with relaying(step(kind, {"request": {"other_types": "pass"}})) as relay:
        assert (await relay.request(body=b"[[", media_type="text/plain")).status == 200


async def test_in_report_mode_everything_goes_on_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    reports = Reports()
    with caplog.at_level(logging.WARNING, "gateway"):
        async with relaying(step("json-limits", {"mode": "report"}), services=(reports,)) as relay:
            assert (await relay.request(body=b'{"a":1,"a":2}')).status == 200
            assert (await relay.request(body=b"x", media_type="text/plain")).status == 200
    assert "the request is not valid for shop@v2 json-limits: $: a name stands twice" in caplog.text
    page = render_prometheus([{"endpoints": [], "reports": reports.snapshot()}])
    line = b'penstock_reported_total{component="shop",version="v2",step="json-limits",part="request"} 2'
    assert line in page


async def test_a_reply_beyond_the_limits_is_502_and_only_the_log_tells_where(caplog: pytest.LogCaptureFixture) -> None:
    config = {"request": None, "response": {"depth": 1}}
    with caplog.at_level(logging.WARNING, "gateway"):
        async with relaying(step("json-limits", config), answering=always(response(b'{"a": [1]}'))) as relay:
            answered = await relay.request("GET")
    assert (answered.status, answered.problem["code"], answered.places) == (502, "invalid_reply", [])
    assert "$.a: is nested deeper" in caplog.text


async def test_replies_of_other_statuses_and_the_gateways_own_problems_are_not_looked_at() -> None:
    config = {"response": {"depth": 0}}
    bad = response(b'{"a": 1}', status="404 Not Found")
    async with relaying(
        step("json-limits", config), step("message-size", {"limit": 3}), answering=always(bad)
    ) as relay:
        assert (await relay.request("GET")).status == 404
        assert (await relay.request(body=b"12345")).status == 413


async def test_requests_are_not_collected_for_a_step_that_looks_at_replies_alone() -> None:
    config = {"request": None, "response": {}}
    async with relaying(step("json-limits", config)) as relay:
        await relay.request(body=b"2\r\n{}\r\n0\r\n\r\n", Transfer_Encoding="chunked")
    assert relay.upstream.received[0].get(b"transfer-encoding") == b"chunked"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "/"),
        (b"<a><b><c/></b></a>", "/a/b"),
        (b"<a " + b" ".join(b'a%d="1"' % each for each in range(50_000)) + b"/>", "/"),
        (b"<a " + b" ".join(b'a%d="1"' % each for each in range(100)) + b"/>", "/a"),
        (b"<a><!--" + b"x" * 400_000 + b"--></a>", "/a"),
        (b"<a>", "/a"),
        (b"<?go away?><a/>", "/"),
    ],
)
async def test_xml_beyond_the_limits_is_400_with_its_place(body: bytes, place: str) -> None:
    """CASES B50"""
    steps = [step("message-size", {"limit": "1MB"}), step("xml-limits", {"request": {"depth": 2}})]
    async with relaying(*steps) as relay:
        answered = await relay.request(body=body, media_type=XML)
    assert (answered.status, answered.places, relay.upstream.received) == (400, [place], [])


async def test_an_xml_reply_beyond_the_limits_is_502() -> None:
    answering = always(response(b"<a><b/></a>", media_type="text/xml; charset=utf-8"))
    async with relaying(step("xml-limits", {"response": {"depth": 1}}), answering=answering) as relay:
        assert (await relay.request("GET")).status == 502
