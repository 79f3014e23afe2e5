"""`enrich`: a service outside is asked before the backend, over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from gateway.policy import enrich
from gateway.relay.network import Network
from gateway.relay.outside import Outside
from tests.policy.body_harness import relaying, response, step
from tests.policy.policy_harness import Gateway, json_of
from tests.upstreams import Conversation, RecordingUpstream, always, upstream

SCORE = {"headers": {"X-Score": "score", "X-None": "none"}, "query": {"level": "to_string(score)"}}


def asking(service: RecordingUpstream, **config: Any) -> dict[str, Any]:
    return {"url": service.url + "/score?app={query.app}"} | SCORE | config


async def test_an_answer_is_put_into_fields_and_the_query(gateway: Gateway) -> None:
    async with upstream(always(response(b'{"score": 7}'))) as service:
        built = gateway.build(enrich.KIND, asking(service, send={"X-Who": "{client}"}))
        told = json_of(await gateway.request(gateway.chain(built), [(b"X-Score", b"9")], "/orders/1?app=a%26b&level=0"))
    (received,) = service.received
    assert received.target == b"/score?app=a%26b"
    assert received.get(b"x-who") == b"127.0.0.1"
    assert told["add"] == ["\r\nX-Score: 7"]
    assert "x-score" in told["drop"]
    assert told["query"] == "app=a%26b&level=7"


async def test_an_answer_is_put_into_the_body() -> None:
    async with upstream(always(response(b'{"score": {"risk": 7}}'))) as service:
        config = {
            "url": service.url,
            "method": "POST",
            "body": {"who": "{header.X-Who}"},
            "members": {"/risk/level": "score.risk"},
        }
        async with relaying(step("enrich", config), services=[Outside(Network())]) as relay:
            await relay.request(body=b'{"id":1}', X_Who='a"b')
            assert (await relay.request(body=b"x", media_type="text/plain")).status == 415
    assert orjson.loads(service.received[0].body) == {"who": 'a"b'}
    assert [each.body for each in relay.upstream.received] == [b'{"id":1,"risk":{"level":7}}']


@pytest.mark.parametrize(
    "answer",
    [
        response(b"{}", status="500 Failed"),
        response(b"{}", status="302 Found"),
        response(b"{"),
        response(b'{"score": "' + b"x" * 70_000 + b'"}'),
        b"nonsense\r\n\r\n",
    ],
)
async def test_a_service_that_fails_refuses_or_is_done_without(gateway: Gateway, answer: bytes) -> None:
    """CASES C49"""
    async with upstream(always(answer)) as service:
        refusing = gateway.build(enrich.KIND, asking(service))
        answered = await gateway.request(gateway.chain(refusing))
        assert (answered.status, json_of(answered)["code"]) == (503, "dependency_failed")
        assert not gateway.seen
        going_on = gateway.build(enrich.KIND, asking(service, on_failure="go_on", default={"score": 0}))
        assert json_of(await gateway.request(gateway.chain(going_on)))["add"] == ["\r\nX-Score: 0"]
        without = gateway.build(enrich.KIND, asking(service, on_failure="go_on"))
        assert json_of(await gateway.request(gateway.chain(without)))["add"] == []


async def test_equal_questions_at_one_time_are_asked_once(gateway: Gateway) -> None:
    all_ask = asyncio.Event()

    async def slowly(conversation: Conversation) -> None:
        await conversation.request()
        await all_ask.wait()
        conversation.send(response(b'{"score": 7}'))

    async with upstream(slowly) as service:
        chain = gateway.chain(gateway.build(enrich.KIND, asking(service)))
        waiting = [asyncio.create_task(gateway.request(chain, target="/orders/1?app=a")) for _ in range(20)]
        asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(all_ask.set))
        answers = await asyncio.gather(*waiting)
    assert {answer.status for answer in answers} == {200}
    assert len(service.received) == 1


async def test_answers_are_kept_for_their_time_and_no_more_than_there_is_room_for(gateway: Gateway) -> None:
    async with upstream(always(response(b'{"score": 7}'))) as service:
        chain = gateway.chain(gateway.build(enrich.KIND, asking(service, cache="1m", entries=2)))
        for target in ("a", "a", "b", "b", "c", "a"):
            await gateway.request(chain, target=f"/orders/1?app={target}")
        assert [each.target[-1:] for each in service.received] == [b"a", b"b", b"c", b"a"]
        gateway.clock.advance(61)
        await gateway.request(chain, target="/orders/1?app=a")
        assert len(service.received) == 5


async def test_an_answer_cannot_break_the_message(gateway: Gateway) -> None:
    """CASES F22"""
    async with upstream(always(response(b'{"score": "7\\r\\nX-Admin: 1"}'))) as service:
        told = json_of(await gateway.request(gateway.chain(gateway.build(enrich.KIND, asking(service)))))
    assert told["add"] == ["\r\nX-Score: 7X-Admin: 1"]
    assert told["query"] == "level=7%0D%0AX-Admin%3A%201"


@pytest.mark.parametrize("value", ["..", ".", "%2e%2e"])
async def test_a_value_cannot_lead_to_another_path_of_the_service(gateway: Gateway, value: str) -> None:
    async with upstream(always(response(b'{"score": 7}'))) as service:
        built = gateway.build(
            enrich.KIND, {"url": service.url + "/users/{query.id}/score", "headers": {"X-Score": "score"}}
        )
        assert (await gateway.request(gateway.chain(built), target=f"/orders/1?id={value}")).status == 400
    assert not service.received


@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://{query.host}/a", **SCORE},
        {"url": "ftp://a/b", **SCORE},
        {"url": "https://a/b"},
        {"url": "https://a/b", "headers": {"X-A": "a["}},
        {"url": "https://a/b", "headers": {"Host": "a"}},
        {"url": "https://a/b", "body": {}, **SCORE},
        {"url": "https://a/b", "timeout": "1h", **SCORE},
        {"url": "https://a/b", "default": 1, **SCORE},
        {"url": "https://a/b?x={nothing}", **SCORE},
        {"url": "https://a/b", "members": {"a": "b"}},
    ],
)
def test_a_wrong_configuration_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        enrich.KIND.config.model_validate(config)
