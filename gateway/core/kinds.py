"""What a policy kind is. One kind, one file in `policy/`, one shape: configuration model, build, kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel

from gateway.core.call import Backend
from gateway.core.exchange import After, Exchange, Head, Reply, Step, Tap
from gateway.core.field_edits import ConstantEdits
from gateway.core.secrets import Secret

Family = Literal["authentication", "authorisation", "traffic", "validation", "transformation", "own"]
C = TypeVar("C", bound=BaseModel)
T = TypeVar("T")


class Stage(IntEnum):
    """What a step needs: the head alone, the whole body, or the typed call."""

    HEAD = 0
    BODY = 1
    CALL = 2


class Services:
    """What built steps and backends may hold, by type: the directory, the counters, the clock.
    Composed once by `server`; asked for at build time, never on a request's path."""

    def __init__(self, *offered: object, **named: object) -> None:
        self._offered = offered
        self._named = named

    def of(self, kind: type[T]) -> T:
        service = self.find(kind)
        if service is None:
            raise LookupError(f"this gateway offers no {kind.__name__}")
        return service

    def find(self, kind: type[T]) -> T | None:
        """The service, where there may be none."""
        return next((service for service in self._offered if isinstance(service, kind)), None)

    def named(self, name: str) -> Any:
        try:
            return self._named[name]
        except KeyError:
            raise LookupError(f"this gateway offers no service named {name}") from None


@dataclass(frozen=True, slots=True)
class Site:
    """Where a step stands. `scope` is who declared it (`gateway`, `shop@v2`, `shop@v2 GET /orders/{id}`,
    `plan gold`, `policy partner-rules`); `counter` identifies its counters, whatever the revision (DESIGN 5)."""

    component: str
    version: str
    endpoint: str
    scope: str
    step: str
    services: Services
    facts: Mapping[str, str] = field(default_factory=dict)
    kinds: Kinds = field(default_factory=dict)  # of this gateway: for steps that hold others
    openapi: Callable[[], Mapping[str, Any]] | None = None  # the version's own document; None: there is no version here
    contract: Callable[[str], tuple[Any, Any, Mapping[str, Any]] | None] | None = None
    """Of an endpoint: its operation, the version's types (`schema.types`) and their schemas. None where a document is
    served; ValueError where there is no typed operation."""

    secrets: Collection[Secret] = ()
    """Those that steps of the version were given so far, and later ones as they are built: for a step that has to keep
    them from somebody."""
    backend: Callable[[str], Any] | None = None
    """A backend of the version by its name: what the kind `http` opened, None where nothing is opened. ValueError says
    what there is."""

    on_close: Callable[[Callable[[], None]], None] | None = None
    """Takes what is to be called when nothing of the version runs any more. None: nothing is going to run."""

    @property
    def counter(self) -> str:
        return f"{self.scope}/{self.step}"


class Caller(NamedTuple):
    """Whose credential a request shows, and the version of the component that this application is pinned to."""

    application: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Presented:
    """Tells from a request's head whose credential it shows, before that is proved: routing chooses a version by it.
    None: nobody's that is known. `field` is the header field that it stands in, if it does."""

    read: Callable[[Head], Caller | None]
    field: str | None = None


class Fusible(Protocol):
    """What a step does so that it can be done in one go with that of its neighbours: those with the same `key`, which
    stand side by side in a chain without a condition."""

    @property
    def key(self) -> Hashable: ...

    def fuse(self, others: Sequence[object]) -> Built:
        """One step for all of them, in the first one's place."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A configured step, ready to run. All parts are optional. `preflight` answers a CORS preflight from routing.
    `otherwise` runs where the step's `when` does not hold: it decides nothing, it keeps credentials and what clients
    claim of themselves from the backend. `conceals` names the request fields (lower case) of which the same is true
    whatever happens; the relay drops them without a step. `presented` is for steps that authenticate applications.
    `fuses`: what it does can be done in one go with its neighbours. `constant` is all that step and after do, where
    that is the same for every message: what stands side by side becomes one. `credentials` names the request fields
    (lower case) that a credential stands in, also where it goes on to the backend."""

    step: Step | None = None
    otherwise: Callable[[Exchange], None] | None = None
    after: After | None = None
    request_tap: Tap | None = None
    response_tap: Tap | None = None
    preflight: Callable[[Head, frozenset[bytes]], Reply] | None = None  # (head, allowed methods)
    conceals: frozenset[bytes] = frozenset()
    presented: Presented | None = None
    fuses: Fusible | None = None
    constant: ConstantEdits | None = None
    credentials: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Kind(Generic[C]):
    """`name` is what documents `use`; `protects` tells that an endpoint with this step is not open to everybody.
    `example` is a configuration that holds, shown to people and measured in `benchmarks`. `libraries` are modules that
    `build` imports when it is called, as nodes without such a step never load them: they are imported in a thread
    before. `check` is asked before publishing and never by a worker, as it may take long: it raises ValueError for what
    `build` does not see. `family` is the heading under which kinds are listed.

    `stage_of` tells the stage of a configuration as it is written, where that differs. `by_operation`: it decides on
    the operation that runs, so that before a SOAP service or an OData root it waits until that is known (DESIGN 5);
    `by_operation_of` tells it of a configuration as it is written. `together` tells of a configuration what
    `Built.fuses` has as its key. `holds` names the setting that lists steps of other kinds, each with `use` and `with`.
    `answers`: its step may answer in the backend's place, so that a step which decides who may ask must stand before
    it. `copied`: see `runs_for_copies`. `versions` tells which other versions of the component a configuration, as it
    is written, speaks of: one that there is not is refused when it is published. `operations` tells the same of the
    version's operations and entity sets, and then of its endpoints."""

    name: str
    config: type[C]
    build: Callable[[C, Site], Built]
    stage: Stage = Stage.HEAD
    reply_stage: Stage = Stage.HEAD
    protects: bool = False
    summary: str = ""
    family: Family = "transformation"
    example: Mapping[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    together: Callable[[C], Hashable] | None = None
    check: Callable[[C], None] | None = None
    stage_of: Callable[[Mapping[str, Any]], Stage] | None = None
    by_operation: bool = False
    by_operation_of: Callable[[Mapping[str, Any]], bool] | None = None
    holds: str = ""
    answers: bool = False
    copied: bool | None = None
    versions: Callable[[Mapping[str, Any]], Collection[str]] | None = None
    operations: Callable[[Mapping[str, Any]], tuple[Collection[str], Collection[str]]] | None = None

    @property
    def runs_for_copies(self) -> bool:
        """Whether it runs for a copy of a request (`policy/mirror.py`), too. Who asks is proved once, and what is
        counted is counted once: kinds that authenticate and those of traffic do not, unless they say so."""
        return self.family not in {"authentication", "traffic"} if self.copied is None else self.copied


Kinds = Mapping[str, Kind[Any]]


@dataclass(frozen=True, slots=True)
class BackendKind:
    """Where operations go. `connection` is the model of an entry under `backends:` (None: the kind needs none),
    `operation` the model of an operation's own part. Built at publish time, closed when drained.

    open(connection config, services) -> the connection, shared by the version's operations; has `async close()`
    bind(operation config, connection or None, operation, types, services) -> `core.call.Backend`
    check(connection config, services): refuses what `open` would, and opens nothing; for the dry build
    `operation` and `types` are `schema.types.Operation` and `schema.types.Types`.
    """

    name: str
    connection: type[BaseModel] | None
    operation: type[BaseModel] | None
    open: Callable[[Any, Services], Any] | None
    bind: Callable[[Any, Any, Any, Any, Services], Backend]
    summary: str = ""
    check: Callable[[Any, Services], None] | None = None


BackendKinds = Mapping[str, BackendKind]
