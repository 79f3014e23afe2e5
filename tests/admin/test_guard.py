"""What is taken back by itself, and when: canaries and new revisions that fail or are slow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.guard import Guarding, Numbers, judge
from gateway.core.clock import ManualClock
from gateway.core.findings import DocumentsRefused
from gateway.manifest.documents import Guard
from gateway.manifest.loading import load_text
from gateway.store.memory import MemoryStore
from gateway.telemetry.counters import BOUNDS, CLASSES
from tests.admin.admin_harness import Bench, bench, shop

GUARD = "guard: {errors: 5%, window: 1m, minimum: 20}\n"


def numbers(requests: int, errors: int = 0, bucket: int = 3) -> Numbers:
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[bucket] = requests
    return Numbers(requests, errors, tuple(buckets))


@pytest.mark.parametrize(
    ("guard", "mine", "other", "taken_back"),
    [
        ({"errors": "5%"}, numbers(100, 6), numbers(0), True),
        ({"errors": "5%"}, numbers(100, 5), numbers(0), False),
        ({"errors": "5%"}, numbers(99, 99), numbers(0), False),
        ({"p99": "5ms"}, numbers(100, bucket=3), numbers(0), True),
        ({"p99": "20ms"}, numbers(100, bucket=3), numbers(0), False),
        ({"errors_above": "2%"}, numbers(100, 9), numbers(100, 6), True),
        ({"errors_above": "2%"}, numbers(100, 8), numbers(100, 6), False),
        ({"errors_above": "2%"}, numbers(100, 50), numbers(99, 0), False),
        ({"p99_factor": 2}, numbers(100, bucket=5), numbers(100, bucket=3), True),
        ({"p99_factor": 2}, numbers(100, bucket=3), numbers(100, bucket=3), False),
        ({"p99_factor": 2}, numbers(100, bucket=5), numbers(0), False),
    ],
)
def test_a_revision_is_judged_by_its_own_numbers_or_beside_the_other(
    guard: dict[str, Any], mine: Numbers, other: Numbers, taken_back: bool
) -> None:
    assert (judge(Guard.model_validate(guard), mine, other) is not None) is taken_back


def test_p99_lies_in_the_bucket_that_holds_it() -> None:
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[0], buckets[8] = 98, 2  # 98 up to 1 ms, 2 from 250 to 500 ms
    assert 0.25 < Numbers(100, 0, tuple(buckets)).p99() <= 0.5
    assert numbers(10, bucket=len(BOUNDS)).p99() == BOUNDS[-1]
    assert Numbers().p99() == 0


@pytest.mark.parametrize("guard", ["{window: 1m}", "{errors: 101%}", "{errors: 5%, window: 11m}", "{p99: fast}"])
def test_a_guard_that_cannot_be_meant_is_refused(guard: str) -> None:
    with pytest.raises(DocumentsRefused):
        load_text(shop() + f"guard: {guard}\n", "shop.yaml")


@dataclass
class Traffic:
    """What this node's workers would have counted, by revision."""

    node: Bench
    counts: dict[str, Numbers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.guarding = Guarding(self.node.service, self.measured)
        self.node.control.also = self.guarding.told

    def measured(self) -> list[dict[str, Any]]:
        return [
            {"component": "shop", "version": "v1", "revision": revision, "buckets": list(each.buckets)}
            | {
                "classes": [each.requests - each.errors if name == "2xx" else 0 for name in CLASSES[:-1]]
                + [each.errors]
            }
            for revision, each in self.counts.items()
        ]

    async def goes(self, revision: str, requests: int, errors: int = 0) -> None:
        self.counts[revision] = self.counts.get(revision, Numbers()).plus(numbers(requests, errors))
        await self.look()

    async def look(self, seconds: float = 1) -> None:
        assert isinstance(self.node.clock, ManualClock)
        self.node.clock.advance(seconds)
        await self.node.control._beat()
        await self.guarding.look()

    async def shown(self) -> Any:
        return (await self.node.send("GET", "/versions/shop@v1")).json()


async def published(node: Bench, *texts: str, **query: Any) -> Traffic:
    for index, text in enumerate(texts):
        last = query if index == len(texts) - 1 else {}
        answer = await node.apply(shop(text=text) + GUARD, **last)
        assert answer.status_code == 200, answer.text
    traffic = Traffic(node)
    await traffic.look()
    return traffic


async def test_a_canary_that_fails_is_aborted_with_the_reason_in_the_audit(node: Bench) -> None:
    traffic = await published(node, "old", "new", canary="10%")
    before = await traffic.shown()
    await traffic.goes(before["canary"]["revision"], 19, 19)
    assert (await traffic.shown())["canary"] is not None
    await traffic.goes(before["canary"]["revision"], 21, 3)
    after = await traffic.shown()
    assert (after["canary"], after["revision"]) == (None, before["revision"])
    entry = dict((await node.store.audit(1))[0])
    assert (entry["actor"], entry["action"]) == ("guard", "canary.abort")
    assert "55.0% answered 5xx, more than 5%, of 40 requests in 1m" in entry["reason"]


async def test_a_new_revision_that_fails_is_rolled_back_and_what_comes_back_is_left_alone(node: Bench) -> None:
    traffic = await published(node, "first", "old", "new")
    before = await traffic.shown()
    await traffic.goes(before["revision"], 100, 50)
    after = await traffic.shown()
    assert after["revision"] == before["history"][-1]
    assert dict((await node.store.audit(1))[0])["action"] == "rollback"
    for _ in range(3):
        await traffic.goes(after["revision"], 100, 100)
    assert (await traffic.shown())["revision"] == after["revision"]


async def test_a_guard_that_is_given_with_a_publish_takes_the_place_of_the_manifests(node: Bench) -> None:
    traffic = await published(node, "old", "new", guard="errors=50%,minimum=10")
    revision = (await traffic.shown())["revision"]
    await traffic.goes(revision, 100, 40)
    assert (await traffic.shown())["revision"] == revision
    await traffic.goes(revision, 100, 90)
    assert (await traffic.shown())["revision"] != revision


async def test_a_canarys_own_guard_goes_along_when_it_is_promoted(node: Bench) -> None:
    traffic = await published(node, "old", "new", canary="10%", guard="errors=50%")
    assert [each.guard.errors for each in traffic.guarding.watched()] == ["50%"]
    assert (await node.send("PUT", "/versions/shop@v1/canary", json={"share": "20%"})).status_code == 200
    assert (await node.send("POST", "/versions/shop@v1/canary/promote")).status_code == 200
    assert [(each.guard.errors, each.canary) for each in traffic.guarding.watched()] == [("50%", False)]


@pytest.mark.parametrize("guard", ["errors", "errors=5%,errors=6%", "window=1m", "errors=500%", "nothing=1", ""])
async def test_a_given_guard_that_cannot_be_meant_is_refused(node: Bench, guard: str) -> None:
    answer = await node.apply(shop(text="x"), guard=guard)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input"), answer.text


async def test_what_does_well_stays(node: Bench) -> None:
    traffic = await published(node, "old", "new")
    revision = (await traffic.shown())["revision"]
    for _ in range(10):
        await traffic.goes(revision, 100, 4)
    assert (await traffic.shown())["revision"] == revision


async def test_errors_of_before_the_window_are_forgotten(node: Bench) -> None:
    traffic = await published(node, "old", "new")
    revision = (await traffic.shown())["revision"]
    await traffic.goes(revision, 15, 15)
    await traffic.look(61)
    await traffic.goes(revision, 100, 0)
    assert (await traffic.shown())["revision"] == revision


async def test_a_revision_is_watched_for_a_while_after_its_activation(node: Bench) -> None:
    traffic = await published(node, "old", "new")
    revision = (await traffic.shown())["revision"]
    await traffic.look(601)
    await traffic.goes(revision, 100, 100)
    assert (await traffic.shown())["revision"] == revision
    assert traffic.guarding.watched() == []


async def test_a_first_revision_has_nothing_to_go_back_to(node: Bench) -> None:
    assert (await published(node, "only")).guarding.watched() == []


async def test_a_brownout_is_no_failure(node: Bench) -> None:
    traffic = await published(node, "old", "new")
    life = {"status": "deprecated", "brownouts": [{"at": "00:00", "for": "1d"}]}
    answer = await node.send("PUT", "/versions/shop@v1/lifecycle", json=life)
    assert answer.status_code == 200, answer.text
    revision = (await traffic.shown())["revision"]
    await traffic.goes(revision, 100, 100)
    assert (await traffic.shown())["revision"] == revision


async def test_a_worker_that_began_again_counts_from_nothing(node: Bench) -> None:
    traffic = await published(node, "old", "new")
    revision = (await traffic.shown())["revision"]
    await traffic.goes(revision, 1000, 0)
    traffic.counts[revision] = Numbers()
    await traffic.goes(revision, 10, 0)
    assert (await traffic.shown())["revision"] == revision


async def test_the_first_node_decides_by_the_numbers_of_all(tmp_path: Path) -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    async with bench(tmp_path, store, clock) as first:
        second = Bench(store, tmp_path, clock, "n2")
        await second.start()
        try:
            here = await published(first, "old", "new")
            there = Traffic(second)
            revision = (await here.shown())["revision"]
            for each in (there, here, there, here):
                await each.look(0)
            there.counts[revision] = numbers(15, 2)
            await there.look()
            assert (await here.shown())["revision"] == revision
            await here.goes(revision, 10)
            assert (await here.shown())["revision"] != revision
        finally:
            await second.close()


async def test_a_node_that_is_not_the_first_leaves_it_to_the_one_that_is(node: Bench) -> None:
    traffic = await published(node, "old", "new")
    revision = (await traffic.shown())["revision"]
    await node.store.beat("a-node", {}, 60)
    await traffic.goes(revision, 100, 100)
    assert (await traffic.shown())["revision"] == revision
