"""The policy kind `api-key`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.policy import anonymous, api_key, rate_limit, respond
from gateway.store.store import APPLICATIONS, SUBSCRIPTIONS
from tests.policy.policy_harness import MAX_STALE, Gateway, json_of

KEY = b"pk_right"
WITH_KEY = [(b"X-API-KEY", KEY)]


async def test_a_key_of_a_subscribed_application_opens_the_api(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)), WITH_KEY)
    assert answer.status == 200
    assert json_of(answer)["identity"] == ["partner", "gold", "k1"]


async def test_the_key_does_not_go_upstream(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    chain = gateway.chain(gateway.build(api_key.KIND, {"header": "X-K", "query": "key"}))
    answer = await gateway.request(chain, target="/orders/1?a=%31&key=pk_right&b")
    assert json_of(answer)["query"] == "a=%31&b"
    assert json_of(answer)["drop"] == ["x-k"]


async def test_a_call_without_a_key_is_told_where_to_send_it(gateway: Gateway) -> None:
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)))
    assert answer.status == 401
    assert answer.get(b"www-authenticate") == b'ApiKey realm="shop"'
    assert "X-API-KEY" in json_of(answer)["detail"]


@pytest.mark.parametrize("target", ["/orders/1?key=pk_right", "/orders/1?%6bey=pk_right"])
async def test_a_key_in_two_places_is_a_bad_request(gateway: Gateway, target: str) -> None:
    """CASES C41"""
    gateway.add_key(KEY)
    chain = gateway.chain(gateway.build(api_key.KIND, {"query": "key"}))
    assert (await gateway.request(chain, WITH_KEY, target)).status == 400
    assert (await gateway.request(chain, [*WITH_KEY, *WITH_KEY])).status == 400


async def test_unknown_revoked_and_ended_keys_read_the_same(gateway: Gateway) -> None:
    chain = gateway.chain(gateway.build(api_key.KIND))
    now = gateway.clock.time()
    gateway.add_key(b"revoked", "k2", revoked=1.0)
    gateway.add_key(b"ended", "k3", ends=now)
    gateway.add_key(b"early", "k4", starts=now + 10)
    gateway.add_key(b"revoked elsewhere", "k5", api="other", revoked=1.0)
    replies = set()
    for credential in (b"unknown", b"revoked", b"ended", b"early", b"revoked elsewhere"):
        answer = await gateway.request(chain, [(b"X-API-KEY", credential)])
        told = {name: value for name, value in json_of(answer).items() if name not in {"id", "instance"}}
        fields = [field for field in answer.headers if field[0] not in {b"x-request-id", b"content-length"}]
        replies.add((answer.status, str(told), str(fields)))
    assert [status for status, _, _ in replies] == [401]


async def test_a_key_of_another_api_is_not_allowed(gateway: Gateway) -> None:
    gateway.add_key(b"foreign", "k3", api="other")
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)), [(b"X-API-KEY", b"foreign")])
    assert answer.status == 403
    assert json_of(answer)["code"] == "forbidden"


@pytest.mark.parametrize(("bound", "reason"), [({"starts": 10.0}, "not yet valid"), ({"ends": 0.0}, "expired")])
async def test_the_log_tells_why_a_key_is_refused(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, bound: dict[str, float], reason: str
) -> None:
    caplog.set_level("INFO", "gateway.auth")
    gateway.add_key(KEY, **{name: gateway.clock.time() + value for name, value in bound.items()})
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)), WITH_KEY)
    assert answer.status == 401
    assert f"{reason}, key k1" in caplog.text


async def test_a_key_whose_subscription_ended_is_not_allowed(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    gateway.directory.current.put(SUBSCRIPTIONS, "partner/shop", None)
    assert (await gateway.request(gateway.chain(gateway.build(api_key.KIND)), WITH_KEY)).status == 403


async def test_two_keys_are_valid_while_they_overlap(gateway: Gateway) -> None:
    """CASES C42"""
    chain = gateway.chain(gateway.build(api_key.KIND))
    gateway.add_key(b"old", "k1", ends=gateway.clock.time() + 10)
    gateway.add_key(b"new", "k2")
    both = [(await gateway.request(chain, [(b"X-API-KEY", key)])).status for key in (b"old", b"new")]
    gateway.clock.advance(10)
    later = [(await gateway.request(chain, [(b"X-API-KEY", key)])).status for key in (b"old", b"new")]
    assert (both, later) == ([200, 200], [401, 200])


async def test_a_directory_that_is_too_old_decides_nothing(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    gateway.clock.advance(MAX_STALE + 1)
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)), WITH_KEY)
    assert answer.status == 503
    assert json_of(answer)["code"] == "store_unavailable"


async def test_no_key_is_ever_logged(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """CASES C41"""
    caplog.set_level("DEBUG")
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)), [(b"X-API-KEY", b"pk_secret")])
    assert "unknown" in caplog.text
    assert "pk_secret" not in caplog.text + answer.body.decode()


async def test_the_upstream_is_told_who_calls_and_never_by_the_client(gateway: Gateway) -> None:
    """CASES H33"""
    gateway.add_key(KEY)
    chain = gateway.chain(gateway.build(api_key.KIND, {"forward": {"application": "X-Consumer"}}))
    told = json_of(await gateway.request(chain, [*WITH_KEY, (b"X-Consumer", b"admin")]))
    assert told["add"] == ["\r\nX-Consumer: partner"]
    assert "x-consumer" in told["drop"]


async def test_a_plan_with_a_chain_of_its_own_goes_on_in_it(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    keys = gateway.build(api_key.KIND)
    variant = gateway.chain(keys, gateway.build(respond.KIND, {"body": "gold"}))
    answer = await gateway.request(gateway.chain(keys, plans={"gold": variant}), WITH_KEY)
    assert answer.body == b"gold"


async def test_a_plan_that_the_gateway_does_not_know_lets_nobody_pass_without_its_limits(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND), known=()), WITH_KEY)
    assert answer.status == 503
    assert not gateway.seen


async def test_an_anonymous_endpoint_is_open_and_may_have_a_plan(gateway: Gateway) -> None:
    answer = await gateway.request(gateway.chain(gateway.build(anonymous.KIND, {"plan": "trial"})))
    assert json_of(answer)["identity"] == [None, "trial", None]


async def test_anonymous_keeps_whom_an_earlier_step_identified(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    chain = gateway.chain(gateway.build(api_key.KIND), gateway.build(anonymous.KIND))
    assert json_of(await gateway.request(chain, WITH_KEY))["identity"] == ["partner", "gold", "k1"]


@pytest.mark.parametrize("name", ["Connection", "content-length", "X Y", "X-Ü", "Host"])
def test_header_names_that_belong_to_the_wire_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        api_key.KIND.config.model_validate({"forward": {"application": name}})


async def test_a_suspended_application_is_told_so(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    gateway.directory.current.put(APPLICATIONS, "partner", {"status": "suspended"})
    answer = await gateway.request(gateway.chain(gateway.build(api_key.KIND)), [(b"x-api-key", KEY)])
    assert (answer.status, json_of(answer)["code"]) == (403, "application_suspended")
    assert gateway.seen == []


async def test_a_keys_end_is_announced_when_it_is_near(gateway: Gateway) -> None:
    chain = gateway.chain(gateway.build(api_key.KIND, {"announce_end": "14d"}))
    told = []
    for days in (13, 15, None):
        gateway.add_key(KEY, ends=days and gateway.clock.time() + days * 86_400)
        answer = await gateway.request(chain, [(b"x-api-key", KEY)])
        told.append(dict(answer.headers).get(b"x-api-key-ends"))
    assert told == [b"Mon, 27 Nov 2023 22:13:20 GMT", None, None]


async def test_a_keys_end_is_announced_on_refusals_too(gateway: Gateway) -> None:
    gateway.add_key(KEY, ends=gateway.clock.time() + 60)
    limited = gateway.build(rate_limit.KIND, {"limit": "1/1d"})
    chain = gateway.chain(gateway.build(api_key.KIND, {"announce_end": "1h"}), limited)
    answers = [await gateway.request(chain, [(b"x-api-key", KEY)]) for _ in range(2)]
    assert [(each.status, b"x-api-key-ends" in dict(each.headers)) for each in answers] == [(200, True), (429, True)]


def test_announcing_nothing_costs_no_step_on_the_way_out(gateway: Gateway) -> None:
    assert gateway.build(api_key.KIND).after is None
    with pytest.raises(ValueError, match="duration"):
        gateway.build(api_key.KIND, {"announce_end": "soon"})
