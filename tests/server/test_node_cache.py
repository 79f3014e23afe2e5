"""Caches and idempotency keys of a started node: two workers, one store, real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.conftest import Shop
from tests.server.nodes import ask, until

CACHED = """
kind: ApiComponent
name: cached
version: v1
base_path: /cached/{version}
operations:
  who: {python: who}
policies: [{id: keys, use: api-key}]
rest:
  GET /who: {call: who, policies: [{use: cache, with: {ttl: 1h, tags: [people]}}]}
  POST /who: {call: who, policies: [{use: idempotency}, {use: upstream, with: {timeout: 2s}}]}
"""


@pytest.fixture(scope="module")
def key(shop: Shop) -> Iterator[str]:
    node = shop.node
    done = node.apply(CACHED)
    assert done.status_code == 200, done.text
    node.admin("POST", "/applications", json={"name": "reader"})
    made = node.admin("POST", "/keys", json={"application": "reader", "api": "cached"})
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    until(lambda: _statuses(shop, key) == {200}, "every worker knows the key")
    yield key
    node.admin("DELETE", "/versions/cached@v1")


def _statuses(shop: Shop, key: str) -> set[int]:
    """Each over a connection of its own, so that both workers are asked."""
    return {ask("GET", f"{shop.node.url}/cached/v1/who", headers={"X-API-KEY": key}).status_code for _ in range(10)}


def _how(shop: Shop, key: str, path: str = "/cached/v1/who", **headers: str) -> str:
    answer = ask("GET", shop.node.url + path, headers={"X-API-KEY": key, **headers})
    assert answer.status_code == 200, answer.text
    return answer.headers["cache-status"].removeprefix("penstock; ").partition(";")[0]


def test_every_worker_answers_from_the_store_until_it_is_purged_everywhere(shop: Shop, key: str) -> None:
    assert {_how(shop, key) for _ in range(10)} == {"hit"}
    for body in ({"tag": "people"}, {"version": "cached@v1"}, {"url": "/cached/v1/who"}):
        assert shop.node.admin("POST", "/cache/purge", json=body).json() == {"purged": 1}
        assert _how(shop, key) == "fwd=miss", body
        until(lambda: _how(shop, key) == "hit", "it is stored again")  # a reply does not wait for the store
        assert {_how(shop, key) for _ in range(6)} == {"hit"}


def test_a_key_that_is_refused_finds_nothing(shop: Shop, key: str) -> None:
    """CASES C43: authentication stands before the cache."""
    _how(shop, key)
    assert ask("GET", f"{shop.node.url}/cached/v1/who", headers={"X-API-KEY": "pk_wrong"}).status_code == 401


def test_a_retry_gets_the_same_reply_from_any_worker(shop: Shop, key: str) -> None:
    headers = {"X-API-KEY": key, "Idempotency-Key": "order-1"}
    url = f"{shop.node.url}/cached/v1/who"
    answers = [ask("POST", url, headers=headers)]
    until(lambda: ask("POST", url, headers=headers).status_code == 200, "the reply is kept")  # it leaves before that
    answers += [ask("POST", url, headers=headers) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None] + ["true"] * 5
    other = ask("POST", f"{shop.node.url}/cached/v1/who?x=1", headers=headers)
    assert other.status_code == 422
