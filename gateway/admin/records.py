"""What is kept under a name (policies, plans, topics, the pointers of live versions): shown, put back, taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.admin.retention import bounded_policies
from gateway.admin.state import State
from gateway.admin.writing import SINGULAR, Writing, check_versions
from gateway.core.errors import Conflict, NotFound
from gateway.store.store import CREDENTIALS, PLANS, SUBSCRIPTIONS, Record, Write


@dataclass
class Records:
    """Of one control process. Writes hold on every node or not at all; what is not there is NotFound."""

    writing: Writing

    def all(self, table: str) -> list[dict[str, Any]]:
        rows = self.writing.node.state.rows(table)
        return [{"name": name, **rows[name].value} for name in sorted(rows)]

    def one(self, table: str, name: str) -> tuple[dict[str, Any], int]:
        """It, and its version."""
        record = _there(self.writing.node.state, table, name)
        return {"name": name, **record.value}, record.version

    def version_of(self, table: str, name: str) -> int:
        """Of the record, as its ETag tells it; 0 when there is none."""
        record = self.writing.node.state.rows(table).get(name)
        return record.version if record else 0

    async def put_back(
        self, table: str, name: str, actor: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """Writes what `change` makes of a record: an earlier revision of it."""
        async with self.writing.turn:
            before = await self.writing.before()
            old = _there(before, table, name).value
            new = change(dict(old))
            numbers = {"from": old["revision"], "to": new["revision"]}
            writes = await bounded_policies(self.writing.store, before, [Write(table, name, new)])
            audit = {"actor": actor, "action": f"{SINGULAR[table]}.rollback", "subject": name, **numbers}
            return {"name": name, **numbers, **await self.writing.publish(before, writes, audit, tells_touched=True)}

    async def remove(self, table: str, name: str, actor: str, expect: int | None = None) -> dict[str, Any]:
        """Takes one away, when nothing needs it any more. `expect` is the version that it must have."""
        async with self.writing.turn:
            before = await self.writing.before()
            _there(before, table, name)
            if expect is not None:
                check_versions(before, {(table, name): expect})
            if table == PLANS:
                await self._nobody_on(name)
            audit = {"actor": actor, "action": f"{SINGULAR[table]}.delete", "subject": name}
            return {"deleted": name, **await self.writing.publish(before, [Write(table, name, None)], audit)}

    async def _nobody_on(self, plan: str) -> None:
        """Conflict while an application is on that plan: its keys would open nothing."""
        async for key, record in self.writing.store.scan(SUBSCRIPTIONS):
            if record.value.get("plan") == plan:
                raise Conflict(f"The plan {plan} has subscriptions, such as {key}. Move them to another plan first.")
        async for key, record in self.writing.store.scan(CREDENTIALS):
            if record.value.get("plan") == plan and record.value["revoked"] is None:
                raise Conflict(f"The plan {plan} has credentials of its own, such as {key}. Revoke them first.")


def _there(state: State, table: str, name: str) -> Record:
    record = state.rows(table).get(name)
    if record is None:
        raise NotFound(f"There is no {SINGULAR[table]} {name}.")
    return record
