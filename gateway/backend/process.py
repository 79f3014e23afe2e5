"""The backend kind `python`: an operation that is a process of a runtime.

The host of processes is the service named `processes`: anything with `runner`, so that a runtime inside of the worker,
in a process of its own or elsewhere is the same to an operation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.call import Call
from gateway.core.kinds import BackendKind, Services
from gateway.schema.types import Operation, Types


class Host(Protocol):
    def runner(self, name: str, operation: Operation, types: Types, digest: str) -> Callable[[Call], Awaitable[Any]]:
        """What runs a process for a revision that was published with that contract and the code of that digest.
        LookupError when it hosts no such process. Where that may be away, it has `available() -> bool`."""
        ...


class ProcessOperation(BaseModel):
    """An operation that is a process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    process: str = Field(description="the name under which a runtime registered it")
    digest: str = Field("", description="of the code that it was published with")


class ProcessBackend:
    """Runs one process. `available` tells whether it could run now."""

    def __init__(self, run: Callable[[Call], Awaitable[Any]], available: Callable[[], bool]) -> None:
        self._run = run
        self.available = available

    async def invoke(self, call: Call) -> Any:
        return await self._run(call)

    async def close(self) -> None:
        """The host outlives the operation."""


def _bind(config: ProcessOperation, _connection: None, operation: Operation, types: Types, services: Services) -> Any:
    host: Host = services.named("processes")
    run = host.runner(config.process, operation, types, config.digest)
    return ProcessBackend(run, getattr(run, "available", _always))


def _always() -> bool:
    return True


KIND = BackendKind(
    name="python",
    connection=None,
    operation=ProcessOperation,
    open=None,
    bind=_bind,
    summary="A process: a Python function that a runtime registered.",
)
