"""Responses of a cache that vary by what only steps know: who calls, as the backend is told."""

from __future__ import annotations

import pytest

from gateway.core.exchange import Exchange
from gateway.core.headers import line
from gateway.core.kinds import Built
from gateway.policy import rate_limit
from tests.policy.cache_harness import Cached, Told
from tests.policy.policy_harness import Gateway


def _tells(exchange: Exchange) -> None:
    """As `forward` of an authenticating step does."""
    exchange.edits.add += line(b"X-User", exchange.head.get(b"x-test-user") or b"nobody")


TELLING = Built(step=_tells, conceals=frozenset((b"x-user",)))
PUBLIC = {"Cache-Control": "public, max-age=60"}


@pytest.mark.parametrize(
    ("config", "fields"), [({}, PUBLIC | {"Vary": "X-User"}), ({"shared": True, "vary": ["X-User"]}, PUBLIC)]
)
async def test_what_varies_by_a_field_that_a_step_writes_is_that_callers(
    config: dict[str, object], fields: dict[str, str]
) -> None:
    """It was looked for among the client's fields, where it never stands: ann's response went to bob."""
    shop = Cached(Gateway(), config, Told(fields=fields), before=(TELLING,))
    assert (await shop.get(x_test_user="ann")).body == b"1"
    assert (await shop.get(x_test_user="bob")).body == b"2"
    assert (await shop.get(x_test_user="ann")).body == b"1"


async def test_a_client_that_writes_the_field_itself_gets_nobodys_response() -> None:
    shop = Cached(Gateway(), {}, Told(fields=PUBLIC | {"Vary": "X-User"}), before=(TELLING,))
    assert (await shop.get(x_test_user="ann")).body == b"1"
    assert (await shop.get(x_test_user="eve", X_User="ann")).body == b"2"
    assert (await shop.get(x_test_user="ann")).body == b"1"


async def test_what_varies_by_a_field_of_a_step_behind_is_not_stored() -> None:
    shop = Cached(Gateway(), {}, Told(fields=PUBLIC | {"Vary": "X-User"}), behind=(TELLING,))
    assert (await shop.get(x_test_user="ann")).body == b"1"
    assert (await shop.get(x_test_user="bob")).body == b"2"


def _asks_for(exchange: Exchange) -> None:
    """As `query: {set: {tenant: "{subject}"}}` does."""
    exchange.edits.query = b"tenant=" + (exchange.head.get(b"x-test-user") or b"")


async def test_what_is_public_of_a_url_that_a_step_behind_makes_is_its_callers() -> None:
    """The backend calls /a?tenant=ann public, which it is; the cache knew it as /a."""
    shop = Cached(Gateway(), {}, Told(fields=PUBLIC), behind=(Built(step=_asks_for),))
    assert (await shop.get(x_test_user="ann")).body == b"1"
    assert (await shop.get(x_test_user="bob")).body == b"2"
    assert (await shop.get(x_test_user="ann")).body == b"1"


async def test_a_url_that_a_step_before_makes_is_the_key() -> None:
    shop = Cached(Gateway(), {}, Told(fields=PUBLIC), before=(Built(step=_same_for_all),))
    assert (await shop.get(x_test_user="ann")).body == b"1"
    assert (await shop.get(x_test_user="bob")).body == b"1"


def _same_for_all(exchange: Exchange) -> None:
    exchange.edits.query = b"tenant=all"


async def test_a_body_in_another_coding_is_another_question() -> None:
    shop = Cached(Gateway(), {"methods": ["POST"], "shared": True}, Told(fields=PUBLIC))
    assert (await shop.get(method="POST", body=b"abc")).body == b"1"
    assert (await shop.get(method="POST", body=b"abc", Content_Encoding="br")).body == b"2"
    assert (await shop.get(method="POST", body=b"abc")).body == b"1"


async def test_what_is_left_of_ones_limit_is_not_told_to_others() -> None:
    gateway = Gateway()
    limit = gateway.build(rate_limit.KIND, {"limit": "10/1m", "by": {"header": "x-test-user"}})
    shop = Cached(gateway, {}, Told(fields=PUBLIC), behind=(limit,))
    assert (await shop.get(x_test_user="ann")).get(b"ratelimit") is not None
    assert (await shop.get(x_test_user="bob")).get(b"ratelimit") is None
