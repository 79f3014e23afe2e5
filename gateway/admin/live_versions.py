"""Live versions: what is told of them, and their active pointers moved, on every node or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.admin.changes import active_bundle, kept, pins_before
from gateway.admin.revisions import Revisions
from gateway.admin.writing import Writing, check_versions
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, InvalidInput, NotFound
from gateway.manifest.bundle import Bundle
from gateway.snapshot.lifecycle import override
from gateway.store.store import ACTIVE, Record, Write

HISTORY: Final = 50  # revisions that a pointer remembers


@dataclass
class LiveVersions:
    """Of one control process. A name is component@version; one that is not live is NotFound."""

    writing: Writing
    revisions: Revisions
    clock: Clock

    def components(self) -> list[dict[str, Any]]:
        found: dict[str, list[str]] = {}
        for name in self.names():
            component, _, version = name.partition("@")
            found.setdefault(component, []).append(version)
        return [{"name": name, "versions": versions} for name, versions in found.items()]

    def names(self) -> list[str]:
        return sorted(self.writing.node.state.rows(ACTIVE))

    def one(self, name: str) -> dict[str, Any]:
        record = self._record(name).value
        manifest = self.bundle(name).manifest
        life = override(manifest.lifecycle, record.get("lifecycle"))
        return {
            "name": name,
            "revision": record["revision"],
            "since": record["since"],
            "history": list(record.get("history", [])),
            "pins": dict(record.get("pins", {})),
            "title": manifest.title,
            "status": life.status,
            "lifecycle": life.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "lifecycle_from": "manifest" if record.get("lifecycle") is None else "version",
            "canary": record.get("canary"),
            "base_path": manifest.base_path,
            "endpoints": len(manifest.rest),
            "operations": sorted(manifest.operations),
        }

    def _record(self, name: str) -> Record:
        record = self.writing.node.state.rows(ACTIVE).get(name)
        if record is None:
            raise NotFound(f"{name} is not live. Live are: {', '.join(self.names()) or 'none'}.")
        return record

    def pointer(self, name: str) -> tuple[Mapping[str, Any], int]:
        """The active pointer of a live version, and the version of its record."""
        record = self._record(name)
        return record.value, record.version

    def bundle(self, name: str) -> Bundle:
        """Of its active revision."""
        self._record(name)
        bundle = active_bundle(self.writing.node.state, name)
        assert bundle is not None
        return bundle

    async def named(self, name: str) -> Bundle:
        """A revision by its hash, or the active one of a live version by its name."""
        return self.bundle(name) if "@" in name else await self.revisions.get(name)

    async def repoint(
        self,
        name: str,
        actor: str,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        expect: int | None = None,
        **audit: Any,
    ) -> dict[str, Any]:
        """Changes the pointer of a live version, of which `change` gets a copy. `expect` is the version that its record
        must have."""
        async with self.writing.turn:
            before = await self.writing.before()
            if expect is not None:
                check_versions(before, {(ACTIVE, name): expect})
            pointer = change(dict(self._record(name).value))
            entry = {"actor": actor, "subject": name, **audit}
            return {"name": name, **await self.writing.publish(before, [Write(ACTIVE, name, pointer)], entry)}

    async def rollback(
        self,
        name: str,
        actor: str,
        *,
        to: str | None = None,
        with_policies: bool = False,
        of: str | None = None,
        **why: Any,
    ) -> dict[str, Any]:
        """Points a version at an earlier revision; by default the one before. A canary ends. `with_policies` pins the
        policies that it was published with; without, what it was pinned to when it was active last holds again. `of`:
        only if that is the active one."""
        async with self.writing.turn:
            before = await self.writing.before()
            record = self._record(name).value
            target = to or _one_before(name, record)
            bundle = await self._revision_of(name, target)
            current = str(record["revision"])
            if of not in (None, current):
                raise Conflict(f"The active revision is another one now: {current}.")
            now = self.clock.time()
            pins = dict(bundle.policies) if with_policies else pins_before(record, target)
            pointer = _pointed(record, target, pins) | {"since": now, "actor": actor}
            writes = [await self.revisions.again(bundle, target, now, actor), Write(ACTIVE, name, pointer)]
            moved = {"from": current, "to": target, "pins": pins}
            audit = {"actor": actor, "action": "rollback", "subject": name, **moved, **why}
            return {"name": name, **moved, **await self.writing.publish(before, writes, audit)}

    async def _revision_of(self, name: str, revision: str) -> Bundle:
        bundle = await self.revisions.get(revision)
        if bundle.name != name:
            raise InvalidInput(f"Revision {revision} is one of {bundle.name}, not of {name}.", target="to")
        return bundle


def _one_before(name: str, pointer: Mapping[str, Any]) -> str:
    history = pointer.get("history", [])
    if not history:
        raise Conflict(f"{name} has no earlier revision to go back to.")
    return str(history[-1])


def _pointed(pointer: Mapping[str, Any], target: str, pins: Mapping[str, int]) -> dict[str, Any]:
    """The pointer at an earlier revision."""
    history = list(pointer.get("history", []))
    back = target in history[-1:]
    return {
        "revision": target,
        "history": history[:-1] if back else [*history, str(pointer["revision"])][-HISTORY:],
        "pins": pins,
        "rolled_back": True,  # no guard watches what one goes back to
        **kept(pointer),
    }
