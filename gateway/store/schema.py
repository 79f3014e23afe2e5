"""The form of what a store holds: one number, which a release can use, and how one form becomes the next.

`{penstock}:schema` is the form that the store is in, `{penstock}:schema:oldest` the oldest form whose releases may
still use it. A release that knows the next form brings a `Step`; the first of its nodes runs it (`store.migrating`).
What a step must keep to is written in docs/decisions/0040-state.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.core.errors import StoreUnavailable

if TYPE_CHECKING:
    from gateway.store.migrating import Migrating


@dataclass(frozen=True, slots=True)
class Step:
    """What makes form `to` of the form before. `run` is idempotent: it may be cut off anywhere, and run again. It may
    run beside nodes of the release before, which go on afterwards; not if it is `apart`: then they must have ended."""

    to: int
    title: str
    run: Callable[[Migrating], Awaitable[None]]
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """What a release knows: its `form`, and the steps that lead there without a gap."""

    form: int
    steps: tuple[Step, ...] = ()

    @property
    def first(self) -> int:
        """The oldest form that its steps can begin with."""
        return self.form - len(self.steps)

    @property
    def oldest(self) -> int:
        """The oldest form whose releases may use a store in this form."""
        return self.form if not self.steps or self.steps[-1].apart else self.form - 1

    def since(self, found: int) -> tuple[Step, ...]:
        """The steps that a store in form `found` still needs."""
        return tuple(step for step in self.steps if step.to > found)


class StoreUnfit(StoreUnavailable):
    """This release cannot use this store at all, however long it waits."""

    code = "store_unavailable"  # each of its kinds has its own


class StoreTooNew(StoreUnfit):
    """A newer release wrote this store in a form that this one does not know."""

    title, code = "The store is of a newer release", "store_too_new"


class StoreTooOld(StoreUnfit):
    """Too many releases lie between the one that wrote this store and this one."""

    title, code = "The store is of an older release", "store_too_old"


class StoreInUse(StoreUnfit):
    """Nodes run that could not go on after the step to this release's form."""

    title, code = "Older nodes use the store", "store_in_use"


def fits(schema: Schema, found: int, oldest: int) -> None:
    """StoreTooNew, StoreTooOld for a store in form `found` that releases from `oldest` on may use."""
    if found > schema.form and oldest > schema.form:
        raise StoreTooNew(
            f"The store is in form {found}, which releases that know form {oldest} or a later one can use; "
            f"this release knows up to {schema.form}. Start the newer release here, or restore a backup that this "
            "release made into another store, and name that with --store."
        )
    if found < schema.first:
        raise StoreTooOld(
            f"The store is in form {found}; this release can begin with form {schema.first}. Start a node of the "
            f"release before this one first: it brings the store to form {found + 1} or later. Then start this one."
        )


CURRENT: Final = Schema(1)
