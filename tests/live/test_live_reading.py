"""A worker reads and takes over a snapshot of many versions in slices, and only what it does not run yet (CASES A65,
A67)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.live.swap import LiveSnapshot
from gateway.server.last_known_good import Shelf
from gateway.server.parts import read_outline, read_snapshot, read_version, version_path
from gateway.snapshot.spec import Snapshot, VersionSpec
from tests.live.live_harness import World

MANY = 40


def version(number: int, route: str = "a") -> str:
    return f"""kind: ApiComponent
name: c{number}
version: v1
base_path: /c{number}
operations: {{get: {{effect: safe, fixed: 1, output: int32}}}}
policies: [{{use: anonymous}}]
rest: {{GET /{route}: get}}
"""


async def compiled(world: World, changed: int | None = None) -> Snapshot:
    return await world.compile(*(version(number, "b" if number == changed else "a") for number in range(MANY)))


async def turns_during(work: Callable[[], Awaitable[object]]) -> int:
    """How often the loop turned meanwhile."""
    count = 0

    def turn() -> None:
        nonlocal count
        count += 1
        again[0] = asyncio.get_running_loop().call_soon(turn)

    again = [asyncio.get_running_loop().call_soon(turn)]
    await work()
    again[0].cancel()
    return count


class Reading:
    """A worker's side of a shelf: `read` has the digests of the files that were read, `told` counts the signs of long
    work."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.shelf = Shelf(folder)
        self.read: list[str] = []
        self.told = 0

    async def prepare(self, snapshot: Snapshot) -> LiveSnapshot:
        _, path = self.shelf.put(snapshot)

        def read(digest: str) -> VersionSpec:
            self.read.append(digest)
            return read_version(path, digest)

        def tell() -> None:
            self.told += 1

        return await self.world.swapper.prepare_outline(read_outline(path), read, tell)


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(World(), tmp_path)


async def test_a_snapshot_is_read_as_it_was_written(reading: Reading) -> None:
    snapshot = await compiled(reading.world)
    hash, path = reading.shelf.put(snapshot)
    assert read_snapshot(path) == snapshot
    assert read_outline(path).hash == hash == snapshot.hash


async def test_the_loop_turns_with_every_version_that_is_read_and_built(reading: Reading) -> None:
    snapshot = await compiled(reading.world)
    assert await turns_during(lambda: reading.prepare(snapshot)) >= 2 * MANY  # built, and put in its place
    assert reading.told == MANY


async def test_only_what_changed_is_written_read_and_built(reading: Reading) -> None:
    reading.world.swapper.swap(await reading.prepare(await compiled(reading.world)))
    current = reading.world.swapper.current
    assert current is not None
    before = dict(current.versions)
    tries = {name: found.trie for name, found in before.items()}
    reading.read.clear()
    changed = await compiled(reading.world, changed=7)
    after = await reading.prepare(changed)
    (other,) = {each.digest for each in changed.versions} - set(current.outline.versions.values())
    assert reading.read == [other]
    assert after.fresh == 1
    assert [name for name in after.versions if after.versions[name] is not before[name]] == ["c7@v1"]
    assert [name for name in after.versions if after.versions[name].trie is not tries[name]] == ["c7@v1"]
    assert len(list((reading.shelf.folder / "versions").glob("*.json"))) == MANY + 1


async def test_a_version_whose_file_was_changed_is_refused(reading: Reading) -> None:
    snapshot = await compiled(reading.world)
    _, path = reading.shelf.put(snapshot)
    file = version_path(path, snapshot.versions[3].digest)
    file.write_bytes(file.read_bytes().replace(b'"v1"', b'"v2"'))
    with pytest.raises(ValueError, match="not what was written"):
        read_snapshot(path)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}x", b'{"versions": 1}', b'{"versions": [{}]}', b'{"form": 3}'])
async def test_what_is_no_snapshot_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(ValueError):
        read_snapshot(path)


async def test_what_an_earlier_release_wrote_is_read(tmp_path: Path) -> None:
    """It had all versions in one file."""
    snapshot = await compiled(World())
    path = tmp_path / "x.json"
    path.write_bytes(snapshot.dump())
    assert read_snapshot(path) == snapshot
