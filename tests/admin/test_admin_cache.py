"""Purging what caches have stored, on the admin REST."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.admin.admin_harness import Bench


async def _store(node: Bench, *tags: str) -> None:
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    node.service.cells.write("k", {b"x": b"1"}, 60.0, done.set_result, tags=tags)
    assert await done


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        ({"tag": "orders"}, "tag:orders"),
        ({"version": "shop@v2"}, "version:shop@v2"),
        ({"url": "/shop/v2/orders"}, "url:/shop/v2/orders"),
        ({"url": "https://shop.example/shop/v2/orders?x=1"}, "url:/shop/v2/orders"),
    ],
)
async def test_what_is_stored_is_purged_and_audited(node: Bench, body: dict[str, str], tag: str) -> None:
    await _store(node, tag)
    answer = await node.send("POST", "/cache/purge", "operator", json=body)
    assert (answer.status_code, answer.json()) == (200, {"purged": 1})
    assert (await node.send("POST", "/cache/purge", "operator", json=body)).json() == {"purged": 0}
    ((what, value),) = body.items()
    entry = (await node.store.audit(1))[0]
    assert (entry["action"], entry["subject"]) == ("cache.purge", f"{what} {value}")


@pytest.mark.parametrize(
    "body", [{}, {"tag": "a", "version": "b@c"}, {"version": "shop"}, {"url": "shop"}, {"url": "/\xe4"}, {"other": "x"}]
)
async def test_what_names_nothing_is_400(node: Bench, body: dict[str, str]) -> None:
    assert (await node.send("POST", "/cache/purge", "operator", json=body)).status_code == 400


async def test_a_token_purges_what_it_may(node: Bench) -> None:
    """CASES M68"""
    assert (await node.send("POST", "/cache/purge", "viewer", json={"tag": "a"})).status_code == 403
    node.tokens["bound"] = await node.token("operator", components=["shop"])
    assert (await node.send("POST", "/cache/purge", "bound", json={"version": "shop@v2"})).status_code == 200
    assert (await node.send("POST", "/cache/purge", "bound", json={"version": "erp@v1"})).status_code == 403
    assert (await node.send("POST", "/cache/purge", "bound", json={"tag": "a"})).status_code == 403
