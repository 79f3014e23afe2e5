"""What the control process knows of the store: its tables in memory, followed by sequence; and candidates of it.

A candidate is the state as it would be after some writes. It is compiled before anything is written, so that a
refused change leaves no trace.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from gateway.core.errors import Problem
from gateway.core.kinds import BackendKinds, Kinds
from gateway.manifest.bundle import Bundle
from gateway.manifest.documents import Plan, Steps, Topic
from gateway.snapshot.compile import Source, compile
from gateway.snapshot.memo import Memo
from gateway.snapshot.order import NamedPolicy
from gateway.snapshot.spec import CanarySpec, Snapshot
from gateway.store.store import ACTIVE, PLANS, POLICIES, REVISIONS, TOPICS, Change, Gap, Record, Store, Write

STEPS: Final[TypeAdapter[Steps]] = TypeAdapter(Steps)
FOLLOWED: Final = (ACTIVE, POLICIES, PLANS, TOPICS)
"""Tables that a snapshot is made of; revisions are fetched when an active pointer names them."""

Values = Mapping[str, str | int | float | bool]
T = TypeVar("T")


class NotReadable(Problem):
    """Something active was written by a newer release."""

    status, title, code = 409, "A newer release is needed", "newer_release_needed"


def _unknown(error: ValidationError) -> str:
    """The first thing that this release does not know."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"this release does not know {place} ({first['msg']}). Upgrade this node, or publish without it"


@dataclass
class State:
    """Tables by name, then key. `revisions` holds the bundles that active pointers name, and those of candidates;
    `unread` why others cannot be read: a newer release wrote them, and nobody else must wait for that."""

    sequence: int = 0
    tables: dict[str, dict[str, Record]] = field(default_factory=lambda: {name: {} for name in FOLLOWED})
    revisions: dict[str, Bundle] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    _read: dict[tuple[str, str], tuple[Record, Any]] = field(default_factory=dict, compare=False)

    def rows(self, table: str) -> dict[str, Record]:
        return self.tables[table]

    def candidate(self, writes: Iterable[Write]) -> State:
        """The state after these writes; this one stays as it is."""
        tables = {name: dict(rows) for name, rows in self.tables.items()}
        other = State(self.sequence, tables, dict(self.revisions), dict(self.unread), self._read)
        for write in writes:
            other.put(write.table, write.key, write.value, 0)
        return other

    def put(self, table: str, key: str, value: Mapping[str, Any] | None, version: int) -> None:
        if table == REVISIONS:
            if value is not None:
                self.take(key, value)
        elif table in self.tables:
            if value is None:
                self.tables[table].pop(key, None)
            else:
                self.tables[table][key] = Record(copy.deepcopy(dict(value)), version)

    def take(self, revision: str, value: Mapping[str, Any]) -> None:
        try:
            self.revisions[revision] = self._bundle(revision, value)
        except ValidationError as error:
            self.unread[revision] = _unknown(error)

    def _bundle(self, revision: str, value: Mapping[str, Any]) -> Bundle:
        """Read once, though a proposal, its commit and a candidate each bring it."""
        known = self._read.get((REVISIONS, revision))
        if known is None or known[0].value != value:
            known = self._read[REVISIONS, revision] = Record(value, 0), read_bundle(value)
        bundle: Bundle = known[1]
        return bundle

    def read_ahead(self, changes: Iterable[Change]) -> None:
        """Reads what `apply` would take long to read. May run in a thread."""
        for change in changes:
            if change.table == REVISIONS and change.value is not None:
                with contextlib.suppress(ValidationError):
                    self._bundle(change.key, change.value)

    def apply(self, change: Change) -> None:
        self.put(change.table, change.key, change.value, change.sequence)
        self.sequence = max(self.sequence, change.sequence)

    def missing_revisions(self) -> list[str]:
        """Revisions that an active pointer names and that are not here yet."""
        return sorted(self._named() - self.revisions.keys() - self.unread.keys())

    def _named(self) -> set[str]:
        pointers = [record.value for record in self.rows(ACTIVE).values()]
        return {str(each["revision"]) for pointer in pointers for each in (pointer, pointer.get("canary")) if each}

    def drop_unused_revisions(self) -> None:
        """What no active pointer names is read again when somebody asks for it."""
        wanted = self._named()
        self.revisions = {key: bundle for key, bundle in self.revisions.items() if key in wanted}
        self.unread = {key: reason for key, reason in self.unread.items() if key in wanted}
        for table, key in list(self._read):
            if table == REVISIONS and key not in wanted:
                self._read.pop((table, key), None)

    def source(self) -> Source:
        active = self.rows(ACTIVE)
        if newer := sorted(self._named() & self.unread.keys()):
            raise NotReadable("; ".join(f"revision {each}: {self.unread[each]}" for each in newer))
        return Source(
            bundles=[self.revisions[str(record.value["revision"])] for record in active.values()],
            policies=self._parsed(POLICIES, read_policy),
            plans=self._parsed(PLANS, lambda _name, value: Plan.model_validate(value)),
            topics=self._parsed(TOPICS, lambda _name, value: Topic.model_validate(value)),
            pins={name: dict(record.value["pins"]) for name, record in active.items() if record.value.get("pins")},
            lifecycles={name: life for name, record in active.items() if (life := record.value.get("lifecycle"))},
            canaries={
                name: (self.revisions[str(canary["revision"])], rule_of(canary))
                for name, record in active.items()
                if (canary := record.value.get("canary"))
            },
        )

    def _parsed(self, table: str, read: Callable[[str, Mapping[str, Any]], T]) -> dict[str, T]:
        """Each record is read once, whatever the number of candidates that hold it."""
        found: dict[str, T] = {}
        for name, record in self.rows(table).items():
            known = self._read.get((table, name))
            if known is None or known[0] is not record:
                known = self._read[table, name] = record, read(name, record.value)
            found[name] = known[1]
        return found

    def compile(self, values: Values, kinds: Kinds, backend_kinds: BackendKinds, memo: Memo | None = None) -> Snapshot:
        """DocumentsRefused with every finding."""
        return compile(self.source(), values, kinds, backend_kinds, memo)


async def load(store: Store) -> State:
    """Everything as of one sequence: what is committed while the tables are read is applied, too."""
    while True:
        state = State(sequence=await store.sequence())
        for table in FOLLOWED:
            async for key, record in store.scan(table):
                state.tables[table][key] = record
        try:
            for change in await store.changes(state.sequence):
                state.apply(change)
        except Gap:
            continue
        await fetch_revisions(store, state)
        return state


async def fetch_revisions(store: Store, state: State) -> None:
    for revision in state.missing_revisions():
        record = await store.get(REVISIONS, revision)
        if record is not None:
            state.take(revision, record.value)


def read_bundle(value: Mapping[str, Any]) -> Bundle:
    return Bundle.model_validate(value["bundle"])


def rule_of(canary: Mapping[str, Any]) -> CanarySpec:
    """Who gets a canary, of its part of an active pointer."""
    return CanarySpec.model_validate({name: canary[name] for name in CanarySpec.model_fields if name in canary})


def read_policy(name: str, value: Mapping[str, Any]) -> NamedPolicy:
    revisions = {int(number): STEPS.validate_python(steps) for number, steps in value["revisions"].items()}
    return NamedPolicy(name, int(value["revision"]), revisions)


def expectations(state: State, writes: Sequence[Write]) -> list[Write]:
    """The writes with the versions that this state saw: the commit is refused when somebody else was faster."""
    expecting = []
    for write in writes:
        rows = state.tables.get(write.table)
        if rows is None or write.expect is not None:
            expecting.append(write)
            continue
        record = rows.get(write.key)
        expecting.append(Write(write.table, write.key, write.value, record.version if record else 0))
    return expecting
