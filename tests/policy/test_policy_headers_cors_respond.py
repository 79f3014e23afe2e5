"""The policy kinds `headers`, `cors` and `respond`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.exchange import Exchange, Head, Reply
from gateway.core.headers import block
from gateway.policy import api_key, cors, headers, respond
from tests.policy.policy_harness import Gateway, json_of

SHOP = "https://shop.example"
FROM_SHOP = [(b"Origin", SHOP.encode())]


async def test_request_fields_are_set_added_and_removed(gateway: Gateway) -> None:
    first = gateway.build(headers.KIND, {"request": {"add": {"X-A": "1", "X-B": "2"}}})
    second = gateway.build(headers.KIND, {"request": {"set": {"x-a": "3"}, "remove": ["Cookie"]}})
    told = json_of(await gateway.request(gateway.chain(first, second)))
    assert told["drop"] == ["cookie", "x-a"]
    assert told["add"] == ["\r\nX-B: 2", "\r\nx-a: 3"]


async def test_reply_fields_are_set_added_and_removed(gateway: Gateway) -> None:
    edits = {"set": {"X-Id": "{request_id} of {client}"}, "add": {"Link": "</a>"}, "remove": ["Server"]}
    answer = await gateway.request(gateway.chain(gateway.build(headers.KIND, {"response": edits})))
    assert answer.get(b"x-id") == b"id-1 of 127.0.0.1"
    assert answer.get(b"link") == b"</a>"
    assert answer.get(b"server") is None


async def test_a_placeholder_cannot_break_the_message(gateway: Gateway) -> None:
    """CASES F22"""
    built = gateway.build(headers.KIND, {"response": {"set": {"X-From": "{client}"}}})
    answer = await gateway.request(gateway.chain(built), client="a\r\nSet-Cookie: b")
    assert answer.get(b"x-from") == b"aSet-Cookie: b"
    assert answer.get(b"set-cookie") is None


@pytest.mark.parametrize(
    "edits",
    [
        {"set": {"X-A": "a\r\nB: c"}},
        {"set": {"Transfer-Encoding": "chunked"}},
        {"remove": ["Connection"]},
        {"set": {"X-A": "{password}"}},
        {"set": {"": "a"}},
    ],
)
def test_header_edits_that_could_break_a_message_are_refused(edits: dict[str, Any]) -> None:
    """CASES F22"""
    with pytest.raises(ValidationError):
        headers.KIND.config.model_validate({"request": edits})


async def test_an_admitted_origin_may_read_replies_and_refusals(gateway: Gateway) -> None:
    built = gateway.build(cors.KIND, {"origins": [SHOP], "expose": ["X-Total"], "credentials": True})
    for chain, status in [(gateway.chain(built), 200), (gateway.chain(built, gateway.build(api_key.KIND)), 401)]:
        answer = await gateway.request(chain, FROM_SHOP)
        assert answer.status == status
        assert answer.all(b"access-control-allow-origin") == [SHOP.encode()]
        assert answer.get(b"access-control-allow-credentials") == b"true"
        assert answer.get(b"access-control-expose-headers") == b"X-Total"
        assert answer.get(b"vary") == b"Origin"


@pytest.mark.parametrize("origin", [b"https://shop.example.evil", b"null", b"http://shop.example", b""])
async def test_another_origin_gets_no_permission(gateway: Gateway, origin: bytes) -> None:
    chain = gateway.chain(gateway.build(cors.KIND, {"origins": [SHOP]}))
    answer = await gateway.request(chain, [(b"Origin", origin)])
    assert answer.get(b"access-control-allow-origin") is None
    assert answer.get(b"vary") == b"Origin"


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        (b"https://a.shop.example", True),
        (b"https://a.b.shop.example", True),
        (b"https://shop.example", False),
        (b"https://evilshop.example", False),
        (b"https://a.shop.example.evil", False),
    ],
)
async def test_a_wildcard_admits_subdomains_alone(gateway: Gateway, origin: bytes, admitted: bool) -> None:
    chain = gateway.chain(gateway.build(cors.KIND, {"origins": ["https://*.shop.example"]}))
    answer = await gateway.request(chain, [(b"Origin", origin)])
    assert (answer.get(b"access-control-allow-origin") == origin) is admitted


def preflight(gateway: Gateway, config: dict[str, Any], fields: list[tuple[bytes, bytes]]) -> Reply:
    built = gateway.build(cors.KIND, {"origins": [SHOP]} | config)
    assert built.preflight is not None
    return built.preflight(Head(b"OPTIONS", b"/", b"", block(fields)), frozenset((b"GET", b"POST")))


def test_a_preflight_tells_what_is_allowed(gateway: Gateway) -> None:
    asked = [
        *FROM_SHOP,
        (b"Access-Control-Request-Method", b"GET"),
        (b"Access-Control-Request-Headers", b"x-api-key, x-b"),
    ]
    reply = preflight(gateway, {"methods": ["GET"], "max_age": 3600, "headers": ["X-API-KEY", "X-B"]}, asked)
    assert reply.status == 204
    assert reply.get(b"access-control-allow-methods") == b"GET"
    assert reply.get(b"access-control-allow-headers") == b"X-API-KEY, X-B"
    assert reply.get(b"access-control-max-age") == b"3600"
    assert reply.get(b"vary").startswith(b"Origin")  # type: ignore[union-attr]


def test_a_preflight_of_another_origin_allows_nothing(gateway: Gateway) -> None:
    reply = preflight(gateway, {}, [(b"Origin", b"https://evil.example")])
    assert [name.lower() for name, _ in reply.headers] == [b"vary"]


@pytest.mark.parametrize(
    "config",
    [
        {"origins": ["*"], "credentials": True},
        {"origins": ["*", SHOP]},
        {"origins": [SHOP + "/"]},
        {"origins": ["null"]},
        {"origins": []},
        {"origins": [SHOP], "max_age": "soon"},
    ],
)
def test_cors_that_browsers_would_not_understand_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        cors.KIND.config.model_validate(config)


async def test_respond_answers_at_once(gateway: Gateway) -> None:
    config = {"status": 410, "headers": {"X-Why": "old"}, "body": {"message": "Use /v2."}}
    answer = await gateway.request(gateway.chain(gateway.build(respond.KIND, config)))
    assert (answer.status, answer.get(b"content-type"), answer.get(b"x-why")) == (410, b"application/json", b"old")
    assert json_of(answer) == {"message": "Use /v2."}
    assert gateway.seen == []


@pytest.mark.parametrize(
    "config",
    [
        {"status": 204, "body": "x"},
        {"status": 101},
        {"headers": {"content-type": "text/css"}, "body": "x"},
        {"headers": {"X": "a\nb"}},
        {"headers": {"Content-Length": "3"}},
        {"content_type": "a\rb"},
        {"code": 200},
    ],
)
def test_an_answer_that_cannot_be_sent_is_refused(config: dict[str, Any]) -> None:
    """CASES F22"""
    with pytest.raises(ValidationError):
        respond.KIND.config.model_validate(config)


async def test_two_requests_get_answers_of_their_own(gateway: Gateway) -> None:
    edits = gateway.build(headers.KIND, {"response": {"add": {"X-A": "1"}}})
    chain = gateway.chain(edits, gateway.build(respond.KIND, {"headers": {"X-B": "2"}}))
    assert [(await gateway.request(chain)).all(b"x-a") for _ in range(2)] == [[b"1"], [b"1"]]


async def test_what_an_upstream_says_of_cors_opens_nothing(gateway: Gateway) -> None:
    chain = gateway.chain(gateway.build(cors.KIND, {"origins": [SHOP]}), last=_open_upstream)
    answer = await gateway.request(chain, [(b"Origin", b"https://evil.example")])
    assert answer.get(b"access-control-allow-origin") is None
    assert answer.get(b"access-control-allow-credentials") is None
    assert answer.all(b"vary") == [b"Accept, Origin"]


def _open_upstream(_exchange: Exchange) -> Reply:
    block_ = block([(b"Access-Control-Allow-Origin", b"https://evil.example"), (b"Vary", b"Accept, Origin")])
    return Reply(200, [(b"Access-Control-Allow-Credentials", b"true")], b"", block_)
