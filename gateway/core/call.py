"""The typed call: what every frontend and every listener makes, and every backend takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from gateway.core.identity import ANONYMOUS, Identity
from gateway.core.override import Override


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation may know of its call. A process gets it by a parameter annotated `Context`."""

    call_id: str
    component: str = ""
    version: str = ""
    operation: str = ""
    protocol: str = ""  # rest, soap, odata, simple, event
    identity: Identity = ANONYMOUS
    attempt: int = 1  # deliveries of a message count from 1
    message_id: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None  # of the trace that this call is part of (W3C Trace Context), for what it asks


@dataclass(slots=True)
class Call:
    """One run of one operation. `input` holds canonical values by parameter name (see `schema/types.py`)."""

    operation: str
    input: dict[str, Any]
    context: Context
    query: Any = None  # a `query.plan.Query` where an entity set is read
    override: Override | None = None  # how an HTTP backend is asked, where a step says so


ANSWERED: Final = object()  # key of a note: the output that a step gives in the backend's place, a canonical value


class Backend(Protocol):
    """Where an operation goes. One file a kind in `backend/`; built at publish time, closed when drained."""

    async def invoke(self, call: Call) -> Any:
        """The operation's output as a canonical value; a declared or undeclared `Problem` when it fails."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Placed(Protocol):
    """A backend that may be away for longer than a call should wait: a listener does not read messages for it then."""

    def available(self) -> bool: ...
