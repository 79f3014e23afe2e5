"""The control process's brain over a store in memory, with workers that only speak its protocol."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.publishing import STALE
from gateway.core.clock import ManualClock
from gateway.core.errors import StoreUnavailable
from gateway.server.control import Control
from gateway.server.crew import Crew, NotServed
from gateway.server.kinds import BACKEND_KINDS, POLICY_KINDS
from gateway.server.last_known_good import KEPT, Shelf
from gateway.server.link import Link, connect
from gateway.server.probe import NotReachable
from gateway.snapshot.spec import VersionSpec
from gateway.store.memory import MemoryStore
from gateway.store.store import ACTIVE, APPLICATIONS, PLANS, PROPOSALS, REVISIONS, Record, Write

RUN = "this-run"


def plan(name: str, limit: str = "9/1m") -> Write:
    """A plan is part of a snapshot, and takes nothing else."""
    step = {"id": "l", "use": "rate-limit", "with": {"limit": limit}}
    return Write(PLANS, name, {"kind": "Plan", "name": name, "policies": [step]})


@dataclass
class Worker:
    """Answers what it is asked, by `refuses`: a hash that it cannot build."""

    link: Link
    refuses: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)
    active: str = ""
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        self.link.send({"say": "hello", "pid": 1, "run": RUN})
        async for message in self.link.messages():
            self.told.append(message)
            if "ask" in message:
                refused = message["hash"] == self.refuses
                self.link.send({"say": "done", "ask": message["ask"], "error": "no" if refused else ""})
                if message["do"] == "activate" and not refused:
                    self.active = message["hash"]
            self.heard.set()

    async def serves(self, hash: str) -> None:
        async with asyncio.timeout(30):
            while self.active != hash:
                self.heard.clear()
                await self.heard.wait()

    async def heard_of(self, sequence: int) -> None:
        """A change of the directory that was committed with it."""
        async with asyncio.timeout(30):
            while not any(each.get("sequence") == sequence for each in self.told):
                self.heard.clear()
                await self.heard.wait()

    async def until(self, do: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while not (found := [each for each in self.told if each["do"] == do]):
                self.heard.clear()
                await self.heard.wait()
        return found[-1]


@dataclass
class Bench:
    """A node without processes."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: ManualClock = field(default_factory=ManualClock)
    unreachable: bool = False
    probed: list[str] = field(default_factory=list)

    async def probe(self, versions: Sequence[VersionSpec]) -> None:
        self.probed.append(",".join(each.name for each in versions))
        if self.unreachable:
            raise NotReachable("the port does not answer")

    @asynccontextmanager
    async def control(self, name: str = "here", workers: int = 0) -> AsyncIterator[tuple[Control, list[Worker]]]:
        box: list[Control] = []

        async def _directory() -> Path | None:
            return await box[0].current_directory() if box else None

        crew = Crew(self.folder / "c.sock", _directory, RUN, timeout=30)
        control = Control(
            name=name,
            store=self.store,
            crew=crew,
            shelf=Shelf(self.folder),
            clock=self.clock,
            values={},
            kinds=POLICY_KINDS,
            backend_kinds=BACKEND_KINDS,
            probe=self.probe,
            facts={},
        )
        box.append(control)
        await crew.start()
        crewed = [Worker(await connect(str(self.folder / "c.sock"))) for _ in range(workers)]
        tasks = [asyncio.create_task(each.run()) for each in crewed]
        await crew.until(workers, 30)
        await control.start()
        try:
            yield control, crewed
        finally:
            await control.close()
            await crew.close()
            for each in crewed:
                await each.link.close()
            for task in tasks:
                task.cancel()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_workers_that_come_get_the_directory_and_the_snapshot(bench: Bench) -> None:
    await bench.store.commit([plan("gold")])
    async with bench.control(workers=2) as (control, workers):
        assert {each.active for each in workers} == {control.served.hash}
        assert [each["do"] for each in workers[0].told][:1] == ["directory"]
        assert control.heartbeat()["workers"] == 2


async def test_a_worker_of_another_run_is_turned_away(bench: Bench) -> None:
    async with bench.control() as (control, _):
        link = await connect(str(bench.folder / "c.sock"))
        link.send({"say": "hello", "pid": 1, "run": "an earlier one"})
        assert [message async for message in link.messages()] == []
        assert control.crew.size == 0
        await link.close()


async def test_a_failing_probe_brings_the_old_snapshot_back(bench: Bench) -> None:
    await bench.store.commit([plan("gold")])
    async with bench.control(workers=2) as (control, workers):
        before = control.served.hash
        bench.unreachable = True
        await bench.store.commit([plan("silver")])
        await control.follow()
        assert control.served.hash == before
        assert "the port does not answer" in control.served.error
        for each in workers:
            await each.serves(before)
        assert control.shelf.read().snapshot.hash == before  # type: ignore[union-attr]


async def test_what_could_not_be_served_is_tried_again(bench: Bench) -> None:
    await bench.store.commit([plan("gold")])
    async with bench.control(workers=1) as (control, _):
        before = control.served.hash
        bench.unreachable = True
        await bench.store.commit([plan("silver")])
        await control.follow()
        bench.unreachable = False
        await control.follow()
        assert control.served.hash == before, "not at once"
        bench.clock.advance(60)
        await control.follow()
        assert (control.served.error, control.served.hash != before) == ("", True)


async def test_what_the_audit_alone_was_told_is_followed_once(bench: Bench) -> None:
    """A dead letter that is redriven changes no table; a sequence that stood would have the control process wait for
    nothing, over and over."""
    async with bench.control() as (control, _):
        sequence = await bench.store.commit([], {"actor": "me", "action": "dead-letter.redrive"})
        await control.follow()
        assert (control.state.sequence, control.directory.sequence) == (sequence, sequence)
        assert control.served.sequence == sequence


async def test_one_worker_that_cannot_build_it_brings_all_back(bench: Bench) -> None:
    await bench.store.commit([plan("gold")])
    async with bench.control(workers=2) as (control, workers):
        before = control.served.hash
        candidate = control.compile(control.state.candidate([plan("silver")]))
        workers[1].refuses = candidate.hash
        await bench.store.commit([plan("silver")])
        await control.follow()
        assert control.served.error == "no"
        assert control.served.hash == before
        for each in workers:
            await each.serves(before)


async def test_a_worker_that_ends_while_it_builds_is_asked_for_again(bench: Bench) -> None:
    async with bench.control(workers=1) as (control, (worker,)):
        hash, path = control.shelf.put(control.compile(control.state.candidate([plan("silver")])))
        preparing = asyncio.create_task(control.crew.prepare(hash, path))
        await worker.link.close()
        successor = Worker(await connect(str(bench.folder / "c.sock")))
        running = asyncio.create_task(successor.run())
        await preparing
        assert (await successor.until("prepare"))["hash"] == hash
        await successor.link.close()
        await running


async def test_a_proposal_that_ends_every_worker_is_refused(bench: Bench) -> None:
    async with bench.control(workers=1) as (control, (worker,)):
        worker.refuses = "everything"
        hash, path = control.shelf.put(control.compile(control.state.candidate([plan("silver")])))

        async def die_of_it() -> None:
            await worker.until("prepare")
            await worker.link.close()

        control.crew._timeout = 0.2
        dying = asyncio.create_task(die_of_it())
        worker.link.send = lambda message: None  # type: ignore[method-assign]  # it never answers
        with pytest.raises(NotServed):
            await control.crew.prepare(hash, path)
        await dying


async def test_a_new_control_process_answers_the_proposals_that_wait(bench: Bench) -> None:
    """Another node proposed, and this one's control process died before it had answered."""
    gold = plan("gold")
    waiting = {"writes": [[gold.table, gold.key, gold.value]], "at": bench.clock.time(), "node": "there", "run": "r"}
    await bench.store.commit([Write(PROPOSALS, "p1", waiting)])
    async with bench.control(workers=1) as (control, (worker,)):
        assert control.heartbeat()["prepared"] == {"p1": "ok"}
        assert (await worker.until("prepare"))["hash"] != control.served.hash
        await bench.store.commit([Write(PROPOSALS, "p1", None)])
        await control.follow()
        assert control.heartbeat()["prepared"] == {}
        assert await worker.until("forget")


def proposed(bench: Bench, by: float = 0.0, node: str = "there", run: str = "r") -> dict[str, Any]:
    """A publisher whose clock differs by so many seconds."""
    return {"writes": [], "at": bench.clock.time() + by, "node": node, "run": run}


async def swept(bench: Bench, control: Control) -> list[str]:
    """The proposals that are left."""
    await control._sweep()
    await control.follow()
    return list(control.heartbeat()["prepared"])


async def test_proposals_of_dead_publishers_are_swept(bench: Bench) -> None:
    await bench.store.commit([Write(PROPOSALS, "of an earlier run", proposed(bench, node="here", run="dead"))])
    await bench.store.commit([Write(PROPOSALS, "left behind", proposed(bench))])
    async with bench.control() as (control, _):
        assert await swept(bench, control) == ["left behind"]
        bench.clock.advance(STALE - 1)
        await bench.store.commit([Write(PROPOSALS, "of a living node", proposed(bench))])
        await control.follow()
        assert await swept(bench, control) == ["left behind", "of a living node"]
        bench.clock.advance(2)
        assert await swept(bench, control) == ["of a living node"]


@pytest.mark.parametrize("by", [-3600.0, 3600.0])
async def test_a_proposal_of_a_node_whose_clock_differs_is_not_swept(bench: Bench, by: float) -> None:
    """CASES A64."""
    async with bench.control() as (control, _):
        await bench.store.commit([Write(PROPOSALS, "p", proposed(bench, by))])
        await control.follow()
        assert await swept(bench, control) == ["p"]


async def test_what_the_store_interrupted_is_served_later(bench: Bench) -> None:
    """The change was read, then the store went away before all of it was."""
    await bench.store.commit([plan("gold")])
    async with bench.control() as (control, _):
        before = control.served.hash
        beat = bench.store.beat

        async def away(*_: Any) -> None:
            raise StoreUnavailable("away")

        bench.store.beat = away  # type: ignore[method-assign]
        await bench.store.commit([plan("silver"), Write(APPLICATIONS, "partner", {"title": ""})])
        with pytest.raises(StoreUnavailable):
            await control.follow()
        bench.store.beat = beat  # type: ignore[method-assign]
        await control.follow()
        assert control.served.hash != before
        assert control.directory.application("partner") is not None


async def test_an_emptied_store_is_not_believed(bench: Bench) -> None:
    await bench.store.commit([plan("gold"), Write(APPLICATIONS, "partner", {"title": ""})])
    async with bench.control() as (control, _):
        before = control.served.hash
        control.store = MemoryStore()
        with pytest.raises(StoreUnavailable, match="it is empty: it has lost its data"):
            await control.follow()
        assert control.served.hash == before
        assert control.directory.application("partner") is not None


async def test_a_store_that_took_the_place_of_a_lost_one_is_not_believed_until_it_is_restored(bench: Bench) -> None:
    """Another node was restarted, and wrote its first token into the empty store."""
    await bench.store.commit([plan("gold"), Write(APPLICATIONS, "partner", {"title": ""})])
    await bench.store.commit([plan("silver")])
    async with bench.control() as (control, _):
        before = control.served.hash
        control.store = another = MemoryStore()
        await another.commit([Write("tokens", "t", {})])
        with pytest.raises(StoreUnavailable, match="it is another one, which knows less"):
            await control.follow()
        assert control.served.hash == before
        assert control.directory.application("partner") is not None
        staging = another.staging()
        await staging.begin()
        await staging.put(APPLICATIONS, [("other", Record({"title": ""}, 1))])
        await staging.activate(2, 1, {}, None)
        await control.follow()
        assert control.directory.application("other") is not None
        assert control.directory.application("partner") is None


async def test_a_node_that_starts_does_not_believe_an_emptied_store_either(bench: Bench) -> None:
    """Neither an empty one, nor one into which another node wrote its first token."""
    for number in range(3):
        await bench.store.commit([plan("gold", f"{number + 1}/1m")])
    await bench.store.commit([Write(APPLICATIONS, "partner", {"title": ""})])
    async with bench.control() as (control, _):
        before = control.served.hash
    whole, bench.store = bench.store, MemoryStore()
    for _ in range(2):
        async with bench.control() as (control, _):
            assert control.served.hash == before
            assert control.directory.application("partner") is not None
            with pytest.raises(StoreUnavailable, match=r"it has lost its data.*take .*snapshot away"):
                await control.follow()
        await bench.store.commit([Write("tokens", "t", {})])
    bench.store = whole
    async with bench.control() as (control, _):
        await control.follow()
        assert control.store_up


async def test_a_node_whose_last_known_good_was_taken_away_takes_an_empty_store(bench: Bench) -> None:
    await bench.store.commit([plan("gold")])
    async with bench.control():
        pass
    (bench.folder / "snapshot" / "current.json").unlink()
    bench.store = MemoryStore()
    async with bench.control() as (control, _):
        await control.follow()
        assert control.store_up


async def test_what_a_newer_release_wrote_keeps_nobody_from_following_the_rest(bench: Bench) -> None:
    await bench.store.commit([plan("gold")])
    async with bench.control() as (control, _):
        before = control.served.hash
        newer = {"bundle": {"later": 1}, "at": 1.0, "actor": "x", "name": "shop@v9"}
        await bench.store.commit([Write(REVISIONS, "later", newer)])
        await bench.store.commit([Write(APPLICATIONS, "partner", {"title": ""})])
        await control.follow()
        assert control.directory.application("partner") is not None
        assert control.served.error == ""
        await bench.store.commit([Write(ACTIVE, "shop@v9", {"revision": "later", "pins": {}})])
        await bench.store.commit([Write(APPLICATIONS, "partner", None)])
        await control.follow()
        assert control.directory.application("partner") is None
        assert control.served.hash == before
        assert "revision later: this release does not know" in control.served.error
    async with bench.control() as (control, _):
        assert control.served.hash == before
        assert "Upgrade this node" in control.served.error


async def test_the_last_known_good_survives_and_is_bounded(bench: Bench) -> None:
    async with bench.control() as (control, _):
        for number in range(KEPT + 5):
            await bench.store.commit([plan("gold", f"{number + 1}/1m")])
            await control.follow()
        await bench.store.commit([Write(APPLICATIONS, "partner", {"title": "Partner"})])
        await control.follow()
        served = control.served.hash
    kept = Shelf(bench.folder).read()
    assert kept is not None
    assert kept.snapshot.hash == served
    assert kept.directory is not None
    assert kept.directory.application("partner") == {"title": "Partner"}
    assert len(list((bench.folder / "snapshot").glob("*.json"))) <= KEPT + 2


async def test_a_full_disk_is_told_by_the_heartbeat_which_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_data: bytes) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with bench.control() as (control, _):
        put = control.shelf.put_directory
        monkeypatch.setattr(control.shelf, "put_directory", full)
        await bench.store.commit([Write(APPLICATIONS, "partner", {"title": ""})])
        await control.follow()
        await control._kept()
        (problem,) = control.heartbeat()["problems"]
        assert "No space left on device. Make room" in problem
        monkeypatch.setattr(control.shelf, "put_directory", put)
        await control._kept()
        assert control.heartbeat()["problems"] == []
        kept = control.shelf.read()
        assert kept is not None
        assert kept.directory is not None
        assert kept.directory.application("partner") is not None


async def test_a_damaged_last_known_good_is_none(bench: Bench) -> None:
    async with bench.control():
        pass
    (bench.folder / "snapshot" / "current.json").write_text('{"hash": ')
    assert Shelf(bench.folder).read() is None


async def test_revisions_that_nothing_points_to_are_not_kept_in_memory(bench: Bench) -> None:
    async with bench.control() as (control, _):
        control.state.revisions["old"] = None  # type: ignore[assignment]
        await bench.store.commit([plan("gold")])
        await control.follow()
        assert control.state.revisions == {}
