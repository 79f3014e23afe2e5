"""Steps that may answer in the backend's place, and what must not stand behind them."""

from __future__ import annotations

import pytest

from gateway.core.findings import DocumentsRefused
from tests.snapshot.snapshot_harness import compiled, documents, plan

SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop
operations:
  get: {effect: safe, fixed: 1, output: int32}
  put: {effect: writing, fixed: 1, output: int32}
"""


async def findings(*texts: str) -> list[tuple[str, str]]:
    with pytest.raises(DocumentsRefused) as refused:
        await compiled(documents(*texts))
    return [(each.code, each.message) for each in refused.value.findings]


async def test_authentication_stands_before_a_cache() -> None:
    await compiled(documents(SHOP + "policies: [{use: api-key}, {use: cache}]\nrest: {GET /a: get}\n"))
    found = await findings(SHOP + "policies: [{use: cache}, {use: api-key}]\nrest: {GET /a: get}\n")
    message = "The step `api-key` decides who may ask, and stands behind `cache`, which may answer."
    assert found == [("answered_before", message)]


async def test_so_does_authorisation() -> None:
    steps = "[{use: api-key}, {use: cache}, {use: scopes, with: {all: [a]}}]"
    found = await findings(SHOP + f"policies: {steps}\nrest: {{GET /a: get}}\n")
    assert [code for code, _ in found] == ["answered_before"]


async def test_a_plans_steps_stand_behind_a_cache_and_may_not_decide() -> None:
    shop = SHOP + "policies: [{use: api-key}, {use: cache}]\nrest: {GET /a: get}\n"
    await compiled(documents(shop, plan("gold", "{use: rate-limit, with: {limit: 1/1m}}")))
    found = await findings(shop, plan("gold", "{use: scopes, with: {all: [a]}}"))
    assert [code for code, _ in found] == ["answered_before"]


async def test_idempotency_may_stand_behind_what_reads_the_body() -> None:
    await compiled(documents(SHOP + "policies: [{use: idempotency}, {use: api-key}]\nrest: {POST /a: put}\n"))


@pytest.mark.parametrize(("operation", "fits"), [("get", True), ("put", False)])
async def test_answers_to_post_are_stored_of_safe_operations_only(operation: str, fits: bool) -> None:
    steps = "[{use: api-key}, {use: cache, with: {methods: [POST]}}]"
    shop = SHOP + f"policies: {steps}\nrest: {{POST /a: {operation}}}\n"
    if fits:
        await compiled(documents(shop))
    else:
        assert [code for code, _ in await findings(shop)] == ["cache_unsafe"]
