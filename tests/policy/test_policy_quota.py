"""The policy kind `quota`: windows of the calendar, by an injected clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.errors import Forbidden
from gateway.core.exchange import Exchange, Reply
from gateway.core.kinds import Built
from gateway.policy import quota
from tests.policy.policy_harness import Gateway, json_of
from tests.policy.test_policy_rate_limit import LostCounters

WEDNESDAY = datetime(2024, 2, 28, 23, 59, 50, tzinfo=UTC)


def quota_of(gateway: Gateway, **config: Any) -> Built:
    gateway.clock.now = WEDNESDAY.timestamp()
    return gateway.build(quota.KIND, config, "plan")


async def test_a_day_is_used_up_until_midnight(gateway: Gateway) -> None:
    chain = gateway.chain(quota_of(gateway, day=2))
    assert [(await gateway.request(chain)).status for _ in range(2)] == [200, 200]
    answer = await gateway.request(chain)
    assert (answer.status, answer.get(b"retry-after")) == (429, b"10")
    assert json_of(answer)["limit"] == "plan"
    assert json_of(answer)["detail"] == "The limit `plan` of the day is used up. Try again in 10 s."
    gateway.clock.advance(10)
    assert (await gateway.request(chain)).status == 200


async def test_every_window_is_told_as_a_member_of_one_field(gateway: Gateway) -> None:
    answer = await gateway.request(gateway.chain(quota_of(gateway, day=10, week=20, month=30)))
    assert answer.all(b"ratelimit-policy") == [b'"plan-day";q=10;w=86400, "plan-week";q=20;w=604800, "plan-month";q=30']
    day, until_sunday, until_march = 10, 3 * 86_400 + 10, 86_400 + 10
    expected = f'"plan-day";r=9;t={day}, "plan-week";r=19;t={until_sunday}, "plan-month";r=29;t={until_march}'
    assert answer.all(b"ratelimit") == [expected.encode()]


async def test_the_window_that_lasts_longest_is_told_and_the_others_lose_nothing(gateway: Gateway) -> None:
    chain = gateway.chain(quota_of(gateway, day=5, month=1))
    await gateway.request(chain)
    answer = await gateway.request(chain)
    assert (answer.status, answer.get(b"retry-after")) == (429, b"86410")
    assert answer.all(b"ratelimit") == [b'"plan-day";r=4;t=10, "plan-month";r=0;t=86410']


async def test_a_week_begins_on_sunday(gateway: Gateway) -> None:
    chain = gateway.chain(quota_of(gateway, week=1))
    assert [(await gateway.request(chain)).status for _ in range(2)] == [200, 429]
    gateway.clock.now = datetime(2024, 3, 2, 23, 59, 59, tzinfo=UTC).timestamp()  # a Saturday
    assert (await gateway.request(chain)).status == 429
    gateway.clock.advance(1)
    assert (await gateway.request(chain)).status == 200


async def test_what_a_later_step_refuses_is_given_back_and_told_so(gateway: Gateway) -> None:
    def refuse(exchange: Exchange) -> Reply:
        raise Forbidden("No.")

    chain = gateway.chain(quota_of(gateway, day=1), Built(step=refuse))
    answers = [await gateway.request(chain) for _ in range(3)]
    assert [answer.status for answer in answers] == [403, 403, 403]
    assert {answer.get(b"ratelimit") for answer in answers} == {b'"plan-day";r=1;t=10'}


@pytest.mark.parametrize(("loss", "status"), [("closed", 503), ("open", 200)])
async def test_a_lost_store_closes_unless_told_otherwise(gateway: Gateway, loss: str, status: int) -> None:
    gateway.counters = LostCounters()
    answer = await gateway.request(gateway.chain(quota_of(gateway, day=1, on_store_loss=loss)))
    assert answer.status == status
    assert answer.get(b"ratelimit") is None


@pytest.mark.parametrize(
    "config",
    [{}, {"day": 0}, {"day": 10**9 + 1}, {"year": 5}, {"day": 5, "cost": 6}, {"day": 5, "by": "moon"}],
)
def test_quotas_that_cannot_be_meant_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        quota.KIND.config.model_validate(config)
