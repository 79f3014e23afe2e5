"""The processes that a worker can run: those that it imported, and those of the node's runtimes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.runtime.embedded import EmbeddedRuntime, Runner
from gateway.runtime.fitting import Signed
from gateway.runtime.registry import Registry
from gateway.runtime.remotes import Remotes
from gateway.schema.types import Operation, Types


class Processes:
    """The service `processes` of the backend kind `python`."""

    def __init__(self, embedded: EmbeddedRuntime, remotes: Remotes) -> None:
        self._embedded = embedded
        self._remotes = remotes

    def runner(self, name: str, operation: Operation, types: Types, digest: str) -> Runner:
        """The code that the revision was published with is preferred, wherever it is; then what was imported here.
        LookupError for a process that is not imported, where there are no runtimes."""
        registry = self._embedded.registry
        if not len(self._remotes):
            return self._embedded.runner(name)
        here = self._embedded.runner(name) if name in registry else None
        if here is not None and registry.get(name).digest == digest:
            return here
        return self._remotes.runner(name, Signed(operation, types, digest), here)


Described = Mapping[str, Mapping[str, Any]]


class Contracts(Mapping[str, Mapping[str, Any]]):
    """What a node publishes with: the contracts of imported processes, then those that runtimes tell of, as they are
    now. {name: {"contract": …, "types": …}}"""

    def __init__(self, registry: Registry, remotes: Remotes) -> None:
        self.own: Described = registry.described()
        self.remotes = remotes
        self._turn = -1
        self._all: Described = self.own

    def _now(self) -> Described:
        if self._turn != self.remotes.turn:
            self._turn = self.remotes.turn
            self._all = dict(self.remotes.described()) | dict(self.own)
        return self._all

    def away(self) -> list[str]:
        """A sentence for each runtime that cannot be asked."""
        return self.remotes.away()

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())


def no_processes() -> Contracts:
    return Contracts(Registry({}), Remotes())
