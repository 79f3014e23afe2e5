"""Much to compile, to write and to build: the loops go on turning, so that nobody takes a process for hung, and what
takes long is waited for as long as it goes on."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.consumers.records import key_id
from gateway.server.crew import Crew, NotServed
from gateway.server.last_known_good import KEPT, Shelf
from gateway.server.link import Link, connect
from gateway.snapshot.spec import Snapshot, VersionSpec
from gateway.store.store import APPLICATIONS, KEYS, Write
from tests.server.test_control import RUN, Bench, bench, plan

__all__ = ["bench"]  # the fixture


def key(number: int) -> Write:
    digest = f"{number:016x}".encode().hex() * 2
    return Write(KEYS, key_id(bytes.fromhex(digest)), {"digest": digest, "application": "partner", "api": "shop"})


class Held:
    """A function that waits, in whatever thread it runs, until the event loop has turned meanwhile."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        turned = threading.Event()
        self._loop.call_soon_threadsafe(turned.set)
        assert turned.wait(30), "the loop stood still"
        self.calls += 1
        return self._function(*arguments)


async def test_the_loop_turns_while_a_change_is_compiled_and_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.control(workers=1) as (control, _):
        held = {name: Held(getattr(control.shelf, name)) for name in ("put", "sweep", "put_directory")}
        held |= {"compile": Held(control.serving.compiler.compile), "read_ahead": Held(control.state.read_ahead)}
        for name in ("put", "sweep", "put_directory"):
            monkeypatch.setattr(control.shelf, name, held[name])
        monkeypatch.setattr(control.serving.compiler, "compile", held["compile"])
        monkeypatch.setattr(control.state, "read_ahead", held["read_ahead"])
        await bench.store.commit([plan("gold"), Write(APPLICATIONS, "partner", {"title": ""})])
        await control.follow()
        assert not control.served.error
        assert {name: each.calls > 0 for name, each in held.items()} == dict.fromkeys(held, True)


async def test_a_directory_is_written_in_slices(bench: Bench) -> None:
    await bench.store.commit([key(number) for number in range(3000)])
    async with bench.control() as (control, _):
        await control.directory_file.write()  # what the control process began by itself is over
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            again[0] = asyncio.get_running_loop().call_soon(turn)

        again = [asyncio.get_running_loop().call_soon(turn)]
        control.directory_file.unwritten = True
        await control.directory_file.write()
        again[0].cancel()
        assert turns >= 3000 // 250


async def test_what_changes_while_the_directory_is_written_is_written_too(bench: Bench) -> None:
    """A worker that connects then must not miss it: it is told of no change before it is known."""
    await bench.store.commit([key(number) for number in range(3000)])
    async with bench.control() as (control, _):
        control.directory_file.unwritten = True
        writing = asyncio.create_task(control.directory_file.write())
        await asyncio.sleep(0)
        await bench.store.commit([Write(APPLICATIONS, "late", {"title": ""})])
        await control.follow()
        await writing
        kept = Shelf(bench.folder)._directory(0.0)
        assert kept is not None
        assert kept.application("late") == {"title": ""}


class Slow:
    """A worker that tells of so many steps before it answers."""

    def __init__(self, link: Link, steps: int) -> None:
        self.link = link
        self.steps = steps

    async def run(self, silence: float) -> None:
        self.link.send({"say": "hello", "pid": 1, "run": RUN})
        async for message in self.link.messages():
            for _ in range(self.steps):
                await asyncio.sleep(silence)
                self.link.send({"say": "busy"})
            if self.steps:
                self.link.send({"say": "done", "ask": message["ask"]})


@pytest.mark.parametrize(("steps", "served"), [(8, True), (0, False)])
async def test_a_worker_that_goes_on_is_waited_for(tmp_path: Path, steps: int, served: bool) -> None:
    async def nothing() -> None:
        return None

    crew = Crew(tmp_path / "c.sock", nothing, RUN, timeout=0.4)
    await crew.start()
    worker = Slow(await connect(str(tmp_path / "c.sock")), steps)
    running = asyncio.create_task(worker.run(0.1))
    await crew.until(1, 30)
    try:
        if served:
            await crew.prepare("hash", tmp_path)
            assert crew.steps() == steps
        else:
            with pytest.raises(NotServed, match="did not answer"):
                await crew.prepare("hash", tmp_path)
    finally:
        await worker.link.close()
        await crew.close()
        running.cancel()


def snapshot(*numbers: int) -> Snapshot:
    return Snapshot(
        versions=tuple(
            VersionSpec(component=f"c{number}", version="v1", revision=str(number), base_path=f"/c{number}")
            for number in numbers
        )
    )


def test_versions_that_no_kept_snapshot_names_are_swept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for number in range(KEPT + 4):
        hash, path = shelf.put(snapshot(0, number + 1))
        shelf.mark(hash, number, 0.0)
        shelf.sweep(hash)
    kept = {each.stem for each in (path.parent / "versions").glob("*.json")}
    assert len(kept) == KEPT + 2
    assert {each.digest for each in snapshot(0, KEPT + 4).versions} <= kept
    assert shelf.read().snapshot == snapshot(0, KEPT + 4)  # type: ignore[union-attr]


def test_a_last_known_good_without_one_of_its_versions_is_none(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    hash, path = shelf.put(snapshot(0, 1))
    shelf.mark(hash, 1, 0.0)
    (path.parent / "versions" / f"{snapshot(1).versions[0].digest}.json").unlink()
    assert shelf.read() is None


def test_a_last_known_good_of_an_earlier_release_serves(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    whole = snapshot(0, 1)
    shelf.path(whole.hash).write_bytes(whole.dump())
    shelf.mark(whole.hash, 7, 1.0)
    kept = shelf.read()
    assert kept is not None
    assert (kept.snapshot, kept.sequence) == (whole, 7)


def test_a_copy_of_a_version_has_a_digest_of_its_own() -> None:
    (version,) = snapshot(1).versions
    before = version.digest
    assert version.model_copy(update={"title": "Other"}).digest != before
    assert version.model_copy().digest == before
    whole = snapshot(1)
    assert whole.hash != whole.model_copy(update={"policies": {"a": 1}}).hash


async def test_a_worker_that_connects_is_not_kept_waiting_by_changes_that_do_not_end(bench: Bench) -> None:
    await bench.store.commit([key(number) for number in range(1000)])
    async with bench.control() as (control, _):

        def change() -> None:
            control.directory_file.unwritten = True
            again[0] = asyncio.get_running_loop().call_soon(change)

        again = [asyncio.get_running_loop().call_soon(change)]
        async with asyncio.timeout(30):
            await control.directory_file.write()
        assert not control.directory_file.unwritten, "written as it was when it returned"
        again[0].cancel()
