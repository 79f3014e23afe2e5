"""What an upstream gets of a request that policies have seen, byte for byte."""

from __future__ import annotations

import pytest

from gateway.core.chain import Chain
from gateway.core.exchange import Exchange, Head
from gateway.core.headers import block
from gateway.frontend.rest.problems import render
from gateway.policy import api_key, headers
from gateway.relay.hygiene import request_head
from tests.policy.policy_harness import Gateway

KEY = b"pk_right"


def seen(gateway: Gateway, fields: list[tuple[bytes, bytes]], query: bytes = b"") -> str:
    """The head that goes upstream behind `api-key` and `headers`."""
    gateway.add_key(KEY)
    head = Head(b"GET", b"/orders/1", query, block(fields), b"shop.example")
    exchange = Exchange("1", head, None, Chain("", (), render), 0.0)  # type: ignore[arg-type]
    forward = {"application": "X-App", "plan": "X-Plan", "key": "X-Key-Id"}
    steps = [
        gateway.build(api_key.KIND, {"query": "key", "forward": forward}),
        gateway.build(headers.KIND, {"request": {"set": {"X-Team": "{application}"}}}),
    ]
    exchange.chain = Chain("", (), render, conceals=steps[0].conceals, plan="gold")
    for built in steps:
        assert built.step is not None
        built.step(exchange)
    assert exchange.edits.query is not None
    return request_head(exchange, head.path + b"?" + exchange.edits.query, b"erp", 0).decode()


@pytest.mark.parametrize(
    ("fields", "query"),
    [([(b"X-API-KEY", KEY)], b"a=1"), ([(b"x-api-key", KEY)], b""), ([], b"a=1&key=pk_right&b=%20")],
)
def test_no_credential_goes_upstream(gateway: Gateway, fields: list[tuple[bytes, bytes]], query: bytes) -> None:
    assert "pk_right" not in seen(gateway, fields, query)


def test_the_other_parameters_go_on_byte_for_byte(gateway: Gateway) -> None:
    assert "GET /orders/1?a=1&b=%20 HTTP/1.1\r\n" in seen(gateway, [], b"a=1&key=pk_right&b=%20")


def test_the_connection_field_cannot_remove_what_the_gateway_sets(gateway: Gateway) -> None:
    """CASES H32"""
    told = seen(gateway, [(b"X-API-KEY", KEY), (b"Connection", b"X-App, X-Team, X-API-KEY")])
    assert "\r\nX-App: partner\r\n" in told
    assert "\r\nX-Plan: gold\r\n" in told
    assert "\r\nX-Team: partner\r\n" in told


def test_what_a_client_claims_to_be_is_replaced(gateway: Gateway) -> None:
    """CASES H33"""
    told = seen(
        gateway, [(b"X-API-KEY", KEY), (b"x-app", b"admin"), (b"X-TEAM", b"admin"), (b"X-Consumer-Id", b"admin")]
    )
    assert "admin" not in told
    assert told.lower().count("\r\nx-app:") == 1
