"""Only what changed is compiled again, and what comes out is what compiling everything gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.findings import DocumentsRefused
from gateway.snapshot.compile import Source, compile
from gateway.snapshot.memo import Memo
from gateway.snapshot.order import NamedPolicy
from gateway.snapshot.spec import Snapshot
from tests.snapshot.snapshot_harness import BACKEND_KINDS, KINDS, component, documents, plan, policy, source

FOLLOWS = "policies: [{use: api-key}, rules]\n"
TOPIC = "kind: Topic\nname: news\n"
SENDS = "rest: {POST /a: {call: {topic: news}}}\n"


def made(given: Source, memo: Memo, values: dict[str, Any] | None = None) -> Snapshot:
    return compile(given, values or {}, KINDS, BACKEND_KINDS, memo)


async def many(*more: str, rules: str = "{use: rate-limit, with: {limit: 9/1m}}") -> Source:
    """Ten versions, of which one follows the policy."""
    texts = [component(name=f"c{number}", path=f"/c{number}") for number in range(9)]
    texts.append(component(name="follower", path="/follower", policies=FOLLOWS))
    return await source(documents(*texts, policy("rules", rules), *more))


async def test_what_did_not_change_is_the_same_object() -> None:
    memo = Memo()
    first = made(await many(), memo)
    changed = await many()
    (other,) = (await source(component("title: Other", name="c3", path="/c3"))).bundles
    changed = replace(changed, bundles=[other if each.component == "c3" else each for each in changed.bundles])
    second = made(changed, memo)
    assert memo.compiled == 11
    assert [a.name for a, b in zip(first.versions, second.versions, strict=True) if a is not b] == ["c3@v1"]
    assert second == made(changed, Memo())


async def test_what_was_before_is_remembered_beside_what_is() -> None:
    """A publish compiles what is, what would be, and what is once more."""
    memo = Memo()
    here, there = await many(), await many(rules="{use: rate-limit, with: {limit: 1/1m}}")
    hashes = [made(each, memo).hash for each in (here, there, here, there)]
    assert memo.compiled == 11
    assert hashes[:2] == hashes[2:]


async def test_a_policy_changes_those_alone_that_follow_it() -> None:
    memo = Memo()
    first = made(await many(), memo)
    second = made(await many(rules="{use: rate-limit, with: {limit: 1/1m}}"), memo)
    different = [a.name for a, b in zip(first.versions, second.versions, strict=True) if a is not b]
    assert different == ["follower@v1"]


async def test_a_pin_is_heeded() -> None:
    memo = Memo()
    given = await many()
    steps = given.policies["rules"].revisions[1]
    both = replace(given, policies={"rules": NamedPolicy("rules", 2, {1: steps, 2: []})})
    assert len(made(both, memo).versions[9].endpoints[0].steps) == 1
    pinned = replace(both, pins={"follower@v1": {"rules": 1}})
    assert len(made(pinned, memo).versions[9].endpoints[0].steps) == 2


async def test_a_plan_is_checked_against_every_version_again() -> None:
    memo = Memo()
    made(await many(), memo)
    with pytest.raises(DocumentsRefused) as refused:
        made(await many(plan("gold", "{id: keys, use: anonymous}")), memo)
    assert len([each for each in refused.value.findings if each.code == "plan_too_early"]) == 18  # with its document


async def test_a_gateways_step_is_everywhere() -> None:
    memo = Memo()
    made(await many(), memo)
    after = made(await many(policy("gateway", "{id: all, use: rate-limit, with: {limit: 5/s}}")), memo)
    assert all(version.endpoints[0].steps[0].id == "all" for version in after.versions)


async def test_what_was_missing_is_found_when_it_appears() -> None:
    memo = Memo()
    sends = component(SENDS, name="sends", path="/sends")
    for _ in range(2):  # what is wrong is told every time
        with pytest.raises(DocumentsRefused, match="no topic `news`"):
            made(await source(sends), memo)
    assert made(await source(documents(sends, TOPIC)), memo).versions[0].name == "sends@v1"
    with pytest.raises(DocumentsRefused, match="no topic `news`"):
        made(await source(sends), memo)


async def test_other_values_forget_everything() -> None:
    memo = Memo()
    body = "values: {up: {required: true}}\nbackends: {erp: {http: {targets: ['${up}']}}}\n"
    given = await source(component(body))
    first = made(given, memo, {"up": "http://one"})
    second = made(given, memo, {"up": "http://two"})
    configs = [each.versions[0].backends["erp"].config["targets"] for each in (first, second)]
    assert configs == [["http://one"], ["http://two"]]


async def test_two_versions_at_one_url_are_refused_though_each_is_remembered() -> None:
    memo = Memo()
    one, two = component(name="one", path="/same"), component(name="two", path="/same")
    for text in (one, two):
        made(await source(text), memo)
    made(await source(documents(one, component(name="two", path="/other"))), memo)
    with pytest.raises(DocumentsRefused, match="claim one URL"):
        made(await source(documents(one, two)), memo)


STATES = st.fixed_dictionaries(
    {
        "limit": st.integers(1, 3),
        "gateway": st.booleans(),
        "plan": st.sampled_from(["", "{use: rate-limit, with: {limit: 1/s}}", "{id: keys, use: anonymous}"]),
        "topic": st.booleans(),
        "paths": st.lists(st.sampled_from(["/a", "/b", "/a/b", "/a/a"]), min_size=1, max_size=3),
    }
)


def written(state: dict[str, Any]) -> str:
    texts = [policy("rules", f"{{use: rate-limit, with: {{limit: {state['limit']}/1m}}}}")]
    texts += [policy("gateway", "{id: all, use: rate-limit, with: {limit: 5/s}}")] if state["gateway"] else []
    texts += [plan("gold", state["plan"])] if state["plan"] else []
    texts += [TOPIC] if state["topic"] else []
    for number, path in enumerate(state["paths"]):
        texts.append(component(name=f"c{number}", path=path, policies=FOLLOWS if number else "keys"))
    texts.append(component(SENDS, name="sends", path="/sends"))
    return documents(*texts)


def outcome(given: Source, memo: Memo) -> Any:
    try:
        return made(given, memo)
    except DocumentsRefused as refused:
        return refused.findings


@given(st.lists(STATES, min_size=2, max_size=5))
@settings(deadline=None, max_examples=40)
async def test_a_memo_changes_nothing_but_the_time(states: list[dict[str, Any]]) -> None:
    memo = Memo()
    for state in states:
        given = await source(written(state))
        assert outcome(given, memo) == outcome(given, Memo())
