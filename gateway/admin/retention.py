"""Which revisions stay: of a version and of a named policy, those that something still speaks of, and the newest ones.

Of a version stay the active revision, its canary, those of its history (fifty), and the newest fifty. Of a named policy
stay the newest hundred, what a plan or a roll-back pinned, and what any revision of a version that is kept was
published with, or is pinned to: every way back stays open. The index of revisions has what lists and this show, so that
neither reads bundles.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.admin.state import State
from gateway.store.store import ACTIVE, PLANS, POLICIES, REVISION_INDEX, REVISIONS, Record, Store, Write

KEPT: Final = 50  # of a version
KEPT_OF_POLICY: Final = 100
AT_ONCE: Final = 500


def index_key(name: str, at: float, revision: str) -> str:
    """Keys of one version lie side by side, the newest first."""
    return f"{prefix_of(name)}{10**12 - at:020.6f} {revision}"


def prefix_of(name: str) -> str:
    return f"{name} "


def indexed(revision: str, value: Mapping[str, Any]) -> Write:
    """The entry of a stored revision."""
    about = {"revision": revision, "name": value["name"], "at": value["at"], "actor": value["actor"]}
    key = index_key(value["name"], value["at"], revision)
    return Write(REVISION_INDEX, key, {**about, "policies": value["bundle"].get("policies", {})})


async def first_writes(store: Store, writes: Sequence[Write]) -> list[Write]:
    """The writes with the index entries of the revisions among them. A revision that is stored already stays as it was
    stored first."""
    found = []
    for write in writes:
        if write.table != REVISIONS or write.value is None:
            found.append(write)
            continue
        stored = await store.get(REVISIONS, write.key)
        value = write.value if stored is None else stored.value
        found += [Write(REVISIONS, write.key, value), indexed(write.key, value)]
    return found


async def entries(store: Store, name: str | None = None) -> AsyncIterator[tuple[str, Record]]:
    """Of one version, or of all."""
    prefix = "" if name is None else prefix_of(name)
    after = prefix
    while found := await store.page(REVISION_INDEX, after, AT_ONCE):
        for key, record in found:
            if not key.startswith(prefix):
                return
            yield key, record
        after = found[-1][0]


async def complete_index(store: Store) -> None:
    """Entries for revisions that were stored before there was an index."""
    known = {record.value["revision"] async for _, record in entries(store)}
    writes = [indexed(key, record.value) async for key, record in store.scan(REVISIONS) if key not in known]
    for at in range(0, len(writes), AT_ONCE):
        await store.commit(writes[at : at + AT_ONCE])


async def forget_revisions(store: Store, state: State, names: Iterable[str]) -> None:
    """Drops what is not kept of these versions."""
    for name in names:
        needed = _needed(state, name)
        found = [(key, str(record.value["revision"])) async for key, record in entries(store, name)]
        gone = [(key, revision) for key, revision in found[KEPT:] if revision not in needed]
        if gone:
            await store.commit(
                [
                    Write(table, of, None)
                    for key, revision in gone
                    for table, of in ((REVISION_INDEX, key), (REVISIONS, revision))
                ]
            )


def _needed(state: State, name: str) -> set[str]:
    record = state.rows(ACTIVE).get(name)
    if record is None:
        return set()
    pointer = record.value
    canary = pointer.get("canary") or {}
    activations = (each["revision"] for each in pointer.get("activations", []))
    return {
        str(each) for each in (pointer["revision"], canary.get("revision"), *pointer.get("history", []), *activations)
    }


async def bounded_policies(store: Store, state: State, writes: Sequence[Write]) -> list[Write]:
    """The writes, of policies without the revisions that are not kept."""
    return [await _bounded(store, state, each) if _is_long(each) else each for each in writes]


def _is_long(write: Write) -> bool:
    return write.table == POLICIES and write.value is not None and len(write.value["revisions"]) > KEPT_OF_POLICY


async def _bounded(store: Store, state: State, write: Write) -> Write:
    assert write.value is not None
    value = dict(write.value)
    newest = sorted(map(int, value["revisions"]))[-KEPT_OF_POLICY:]
    needed = {*newest, int(value["revision"]), *_pinned(state, write.key)}
    needed |= {
        int(record.value["policies"][write.key])
        async for _, record in entries(store)
        if write.key in record.value["policies"]
    }
    for part in ("revisions", "applied"):
        value[part] = {number: each for number, each in value.get(part, {}).items() if int(number) in needed}
    return Write(write.table, write.key, value, write.expect)


def _pinned(state: State, policy: str) -> set[int]:
    found = set()
    for record in state.rows(ACTIVE).values():
        for pins in (record.value.get("pins"), *(each.get("pins") for each in record.value.get("activations", []))):
            if pins and policy in pins:
                found.add(int(pins[policy]))
    for record in state.rows(PLANS).values():
        for step in record.value.get("policies", []):
            name, _, number = step.partition("@") if isinstance(step, str) else ("", "", "")
            if name == policy and number:
                found.add(int(number))
    return found
