"""`external-decision`: a service outside says whether a request may pass; without its word nobody does (CASES C49)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from gateway.core.chain import Chain
from gateway.policy import api_key, external_decision
from tests.policy.policy_harness import Gateway, json_of
from tests.policy.test_policy_authorisation import known
from tests.upstreams import Conversation, RecordingUpstream, always, upstream


def answer(status: int = 200, body: bytes = b"", kind: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}"
    return (head + (f"Content-Type: {kind}\r\n" if body else "") + "\r\n").encode() + body


def guarded(gateway: Gateway, service: RecordingUpstream, **config: Any) -> Chain:
    step = gateway.build(external_decision.KIND, {"url": service.url + "/decide"} | config)
    caller = known(application="partner", credential="k1", scopes=frozenset("ab"), claims={"tenant": "eu", "ssn": "1"})
    return gateway.chain(caller, step, facts={"operation": "get_order", "endpoint": "GET /orders/{id}"})


async def decided(gateway: Gateway, response: bytes, **config: Any) -> Any:
    async with upstream(always(response)) as service:
        return await gateway.request(guarded(gateway, service, **config))


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (answer(200), 200),
        (answer(204), 200),
        (answer(200, b"OK", "text/plain"), 200),
        (answer(200, b'{"allow": true}'), 200),
        (answer(200, b'{"allow": false}'), 403),
        (answer(403), 403),
        (answer(401), 401),
        (answer(403, b"<html>", "text/html"), 403),
        (answer(500), 503),
        (answer(404), 503),
        (answer(302, more="Location: /ok\r\n"), 503),
        (answer(429), 503),
        (answer(200, b'{"allow": "yes"}'), 503),
        (answer(200, b'{"allow": null}'), 503),
        (answer(200, b' {"allow": false}', "text/plain"), 503),
        (answer(200, b'{"allowed": true}'), 503),
        (answer(200, b"{"), 503),
        (answer(200, b"[]"), 503),
        (answer(200, b'{"headers": {"X-Role": "a"}}'), 503),
        (answer(200, b'{"reason": 5}'), 503),
        (answer(403, b'{"allow": true}'), 503),
        (answer(200, b'{"reason": "' + b"x" * 70_000 + b'"}'), 503),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", 503),
        (b"nonsense\r\n\r\n", 503),
        (b"", 503),
    ],
)
async def test_only_a_clear_yes_lets_in(gateway: Gateway, response: bytes, status: int) -> None:
    """CASES C49"""
    reply = await decided(gateway, response, timeout="2s")
    assert reply.status == status
    assert len(gateway.seen) == (status == 200)
    if status == 503:
        assert json_of(reply)["code"] == "dependency_failed"
        assert "127.0.0.1" not in reply.body.decode()


async def test_no_answer_in_time_lets_nobody_in(gateway: Gateway) -> None:
    """CASES C49"""

    async def silent(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.closed()

    async with upstream(silent) as service:
        reply = await gateway.request(guarded(gateway, service, timeout="50ms"))
    assert (reply.status, json_of(reply)["code"]) == (503, "dependency_failed")
    assert not gateway.seen


async def test_a_refusal_tells_the_services_reason_and_challenge(gateway: Gateway) -> None:
    body = b'{"allow": false, "reason": "Your contract has ended."}'
    assert json_of(await decided(gateway, answer(200, body)))["detail"] == "Your contract has ended."
    reply = await decided(gateway, answer(401, b"", more='WWW-Authenticate: Step-Up realm="x"\r\n'))
    assert reply.get(b"www-authenticate") == b'Step-Up realm="x"'
    problem = answer(403, b'{"title": "No", "detail": "Not you."}', "application/problem+json")
    assert json_of(await decided(gateway, problem))["detail"] == "Not you."


async def test_the_service_is_told_what_it_may_know_and_no_credential(gateway: Gateway) -> None:
    gateway.add_key(b"pk_right")
    async with upstream(always(answer())) as service:
        config = {"url": service.url + "/decide?v=1", "headers": ["X-Region", "X-None"], "claims": ["tenant"]}
        steps = [
            gateway.build(api_key.KIND, {"query": "key"}),
            gateway.build(external_decision.KIND, config | {"fields": {"Authorization": "Bearer planted"}}),
        ]
        headers = [(b"X-Region", b"eu"), (b"Cookie", b"session=planted"), (b"Authorization", b"Basic cGxhbnRlZA==")]
        reply = await gateway.request(gateway.chain(*steps), headers, "/orders/1?key=pk_right&a=b")
    assert reply.status == 200
    (asked,) = service.received
    assert (asked.method, asked.target, asked.get(b"authorization")) == (b"POST", b"/decide?v=1", b"Bearer planted")
    told = orjson.loads(asked.body)
    assert told["request"] | {"id": "", "host": ""} == {
        "id": "",
        "host": "",
        "method": "GET",
        "path": "/orders/1",
        "query": "a=b",
        "scheme": "http",
        "client": "127.0.0.1",
        "headers": {"x-region": "eu"},
    }
    assert (told["identity"]["application"], told["identity"]["credential"]) == ("partner", "k1")
    assert (told["api"], told["version"]) == ("shop", "v2")
    assert b"pk_right" not in asked.body
    assert b"planted" not in asked.body


async def test_the_service_is_told_the_operation_and_the_claims_that_are_named(gateway: Gateway) -> None:
    async with upstream(always(answer())) as service:
        await gateway.request(guarded(gateway, service, claims=["tenant", "absent"]))
    told = orjson.loads(service.received[0].body)
    assert (told["operation"], told["endpoint"]) == ("get_order", "GET /orders/{id}")
    assert told["identity"]["claims"] == {"tenant": "eu"}
    assert told["identity"]["scopes"] == ["a", "b"]


async def test_the_service_sets_the_headers_that_the_step_lists(gateway: Gateway) -> None:
    response = answer(200, b'{"headers": {"X-Tenant": "eu"}}')
    told = json_of(await decided(gateway, response, add=["X-Tenant"]))
    assert told["add"] == ["\r\nX-Tenant: eu"]
    assert told["drop"] == ["x-tenant"], "what a client claims itself is dropped"
    bad = answer(200, orjson.dumps({"headers": {"X-Tenant": "eu\r\nX-Role: admin"}}))
    assert (await decided(gateway, bad, add=["X-Tenant"])).status == 503


CACHE = {"ttl": "10s", "by": ["path", "application", "header:X-Region"]}


async def test_an_answer_is_kept_by_what_it_depends_on(gateway: Gateway) -> None:
    async with upstream(always(answer())) as service:
        chain = guarded(gateway, service, cache=CACHE)
        for _ in range(3):
            assert (await gateway.request(chain)).status == 200
        assert len(service.received) == 1
        await gateway.request(chain, target="/orders/2")
        await gateway.request(chain, [(b"X-Region", b"eu")])
        assert len(service.received) == 3
        gateway.clock.advance(10)
        await gateway.request(chain)
        assert len(service.received) == 4


async def test_a_refusal_is_kept_and_a_failure_is_not(gateway: Gateway) -> None:
    async with upstream(always(answer(403))) as service:
        chain = guarded(gateway, service, cache=CACHE)
        assert [(await gateway.request(chain)).status for _ in range(2)] == [403, 403]
        assert len(service.received) == 1
    async with upstream(always(answer(500))) as service:
        chain = guarded(gateway, service, cache=CACHE)
        assert [(await gateway.request(chain)).status for _ in range(2)] == [503, 503]
        assert len(service.received) == 2


async def test_equal_questions_at_one_time_are_one(gateway: Gateway) -> None:
    come, go = asyncio.Event(), asyncio.Event()

    async def held_up(conversation: Conversation) -> None:
        await conversation.request()
        come.set()
        await go.wait()
        conversation.send(answer())

    async with upstream(held_up) as service:
        chain = guarded(gateway, service, cache=CACHE, timeout="10s")
        asked = [asyncio.create_task(gateway.request(chain)) for _ in range(20)]
        await come.wait()
        asked[0].cancel()
        go.set()
        replies = await asyncio.gather(*asked, return_exceptions=True)
    assert [reply.status for reply in replies[1:]] == [200] * 19  # type: ignore[union-attr]
    assert len(service.received) == 1


async def test_no_more_answers_are_kept_than_is_said(gateway: Gateway) -> None:
    async with upstream(always(answer())) as service:
        chain = guarded(gateway, service, cache=CACHE | {"most": 2})
        for number in (1, 2, 3, 1):
            await gateway.request(chain, target=f"/orders/{number}")
        assert len(service.received) == 4


async def test_nothing_of_the_question_is_logged(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """CASES C41"""
    caplog.set_level(logging.DEBUG)
    await decided(gateway, answer(500), fields={"Authorization": "Bearer planted"}, url="http://127.0.0.1:9/?k=planted")
    assert "planted" not in caplog.text


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": "decide.example"},
        {"url": "http://a/", "timeout": "1m"},
        {"url": "http://a/", "cache": {"ttl": "2h", "by": ["path"]}},
        {"url": "http://a/", "cache": {"ttl": "1m", "by": []}},
        {"url": "http://a/", "cache": {"ttl": "1m", "by": ["body"]}},
        {"url": "http://a/", "cache": {"ttl": "1m", "by": ["header:X Y"]}},
        {"url": "http://a/", "add": ["Content-Length"]},
        {"url": "http://a/", "fields": {"A": "b\r\nc"}},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        external_decision.KIND.config.model_validate(config)
