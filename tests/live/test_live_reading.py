"""A worker reads and takes over a snapshot of many versions in slices (CASES A65, A67)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.live.reading import SnapshotReader
from gateway.snapshot.spec import Snapshot, load
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


async def test_a_snapshot_is_read_as_it_was_written() -> None:
    snapshot = await compiled(World())
    assert await SnapshotReader().read(snapshot.dump()) == load(snapshot.dump()) == snapshot


async def test_the_loop_turns_with_every_version_that_is_read_and_taken_over() -> None:
    world, reader = World(), SnapshotReader()
    data = (await compiled(world)).dump()
    assert await turns_during(lambda: reader.read(data)) >= MANY
    snapshot = await reader.read(data)
    assert await turns_during(lambda: world.swapper.prepare(snapshot)) >= MANY


async def test_what_did_not_change_is_the_same_object_and_is_not_built_again() -> None:
    world, reader = World(), SnapshotReader()
    first = await reader.read((await compiled(world)).dump())
    world.swapper.swap(await world.swapper.prepare(first))
    second = await reader.read((await compiled(world, changed=7)).dump())
    different = [old.name for old, new in zip(first.versions, second.versions, strict=True) if old is not new]
    assert different == ["c7@v1"]
    assert world.swapper.current is not None
    before = dict(world.swapper.current.versions)
    tries = {name: found.trie for name, found in before.items()}
    after = (await world.swapper.prepare(second)).versions
    assert [name for name in after if after[name] is not before[name]] == ["c7@v1"]
    assert [name for name in after if after[name].trie is not tries[name]] == ["c7@v1"]


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}x", b'{"versions": 1}', b'{"versions": [{}]}', b'{"versions": [], "x": 1}']
)
async def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        await SnapshotReader().read(data)
