"""The compiled form: frozen data, hashed, dumpable, diffable, replaced whole. `live` builds running things of it.

Nothing here refers to a document's own types: documents may change their writing, this is what the data plane reads.
`${values}` are filled in already; `secret:name` still stands where a secret belongs, so that a dump never holds one.
JSON Schemas refer to the version's named types as `{"$ref": "#/types/Name"}`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from functools import cached_property
from typing import Any, Final, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

CANARY: Final = "~canary"  # behind the name of a version: the revision beside the active one
Schema = dict[str, Any]
Protocol = Literal["rest", "soap", "odata", "document", "event"]


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepSpec(Spec):
    """One step of a chain, in its final order. `scope` is who declared it; with `id` it identifies counters."""

    id: str
    use: str
    config: dict[str, Any] = Field(default_factory=dict)
    when: dict[str, Any] | None = None
    locked: bool = False
    scope: str
    place: str = ""


class ErrorSpec(Spec):
    status: int
    title: str = ""
    detail: Schema | None = None


class Contract(Spec):
    """An operation's types. `input` is an object schema, `output` None when nothing comes back."""

    effect: Literal["safe", "idempotent", "writing"]
    input: Schema
    output: Schema | None = None
    errors: dict[str, ErrorSpec] = Field(default_factory=dict)
    summary: str = ""
    description: str = ""
    digest: str = ""  # of the code behind it


class BackendSpec(Spec):
    """`kind` names a backend kind, `config` is its connection's configuration."""

    kind: str
    config: dict[str, Any] = Field(default_factory=dict)


class OperationSpec(Spec):
    """`backend` names an entry of the version's backends; kinds without a connection leave it empty."""

    name: str
    contract: Contract
    kind: str  # python, http, fixed, topic
    backend: str = ""
    config: dict[str, Any] = Field(default_factory=dict)


class ColumnSpec(Spec):
    name: str
    schema_: Schema
    nullable: bool = False
    primary_key: bool = False


class TableSpec(Spec):
    """A reflected table. `navigation` maps a name to its target set and the (local, remote) column pairs."""

    name: str
    schema_name: str | None = None
    columns: tuple[ColumnSpec, ...]


class NavigationSpec(Spec):
    to: str
    many: bool
    on: tuple[tuple[str, str], ...]


class EntitySetSpec(Spec):
    """`table` with `backend`, or `operation`: where the rows come from."""

    name: str
    type: str  # the entity type's name among the version's types
    key: tuple[str, ...]
    backend: str = ""
    table: TableSpec | None = None
    operation: str = ""
    navigation: dict[str, NavigationSpec] = Field(default_factory=dict)
    max_rows: int = 10_000
    page_size: int = 1000


class Binding(Spec):
    """How a REST route's parts become an operation's input. What is named nowhere comes from the path template, then
    from the query (GET, HEAD, DELETE) or as a property of a JSON object body (the others)."""

    body: str | None = None
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    status: int | None = None


class EndpointSpec(Spec):
    """`key` names it within its version: `GET /orders/{id}`, `soap get_order`, `odata Orders`, `GET /openapi.json`.
    `path` is below the base path; `operation` or `relay` (a backend) or `document` says what answers."""

    key: str
    protocol: Protocol
    method: str = ""
    path: str = ""
    operation: str = ""
    binding: Binding = Binding()
    relay: str = ""
    relay_path: str = ""
    websocket: bool | None = None
    document: str = ""
    steps: tuple[StepSpec, ...] = ()
    summary: str = ""
    description: str = ""
    place: str = ""


class BrownoutSpec(Spec):
    """From `start` to `end`; or on each of `days` (Monday is 0) from `at` minutes after 00:00 UTC, `seconds` long."""

    start: datetime | None = None
    end: datetime | None = None
    at: int = 0
    seconds: float = 0.0
    days: tuple[int, ...] = ()


class LifecycleSpec(Spec):
    status: Literal["draft", "published", "deprecated", "retired"] = "published"
    since: datetime | None = None
    sunset: datetime | None = None
    successor: str | None = None
    documentation: str | None = None
    sunset_acts: bool = False
    brownouts: tuple[BrownoutSpec, ...] = ()


class CanarySpec(Spec):
    """Which requests of a version go to its canary: those with `header` (with this `value`, or any), those of
    `applications`, and a share of the others, from 0 to 1. `sticky` tells who stays with what he got."""

    share: float = 0.0
    header: str = ""
    value: str = ""
    applications: tuple[str, ...] = ()
    sticky: Literal["application", "client", "request"] = "application"


class SoapSpec(Spec):
    namespace: str
    operations: tuple[str, ...]


class ODataSpec(Spec):
    namespace: str
    entity_sets: dict[str, EntitySetSpec] = Field(default_factory=dict)
    operations: tuple[str, ...] = ()


class ListenerSpec(Spec):
    """Runs `operation` for each message of `topic`; `delays` in seconds, one per further delivery."""

    operation: str
    topic: str
    body: str | None = None
    concurrency: int = 1
    delays: tuple[float, ...] = ()


class TopicSpec(Spec):
    name: str
    message: Schema | None = None
    max_length: int = 1_000_000


class VersionSpec(Spec):
    component: str
    version: str
    revision: str
    title: str = ""
    description: str = ""
    base_path: str  # with {version} still in it
    select_by: tuple[str, ...] = ("path",)
    version_header: str = "Api-Version"
    version_query: str = "api-version"
    released: date | None = None
    canary: bool = False  # a revision beside the one that is active
    default: bool = False
    lifecycle: LifecycleSpec = LifecycleSpec()
    types: dict[str, Schema] = Field(default_factory=dict)
    backends: dict[str, BackendSpec] = Field(default_factory=dict)
    operations: dict[str, OperationSpec] = Field(default_factory=dict)
    endpoints: tuple[EndpointSpec, ...] = ()
    soap: SoapSpec | None = None
    odata: ODataSpec | None = None
    listeners: dict[str, ListenerSpec] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.component}@{self.version}{CANARY if self.canary else ''}"

    @property
    def root(self) -> str:
        """The base path with this version in it; the URL that documents show."""
        return self.base_path.replace("{version}", self.version)

    def dump(self) -> bytes:
        """Canonical JSON."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)

    @cached_property
    def digest(self) -> str:
        """Of the whole content: equal specs have equal ones. Reckoned once for each object."""
        return digest_of(self.dump())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("digest", None)
        return copied


def digest_of(data: bytes) -> str:
    """32 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()[:32]


class Outline(Spec):
    """A snapshot with each version's digest in its place: what is compared to know what changed, and what is written
    beside the versions' own files (decision 0019)."""

    form: Literal[2] = 2
    versions: dict[str, str] = Field(default_factory=dict)  # component@version: digest of its spec
    plans: dict[str, tuple[StepSpec, ...]] = Field(default_factory=dict)
    gateway: tuple[StepSpec, ...] = ()
    topics: dict[str, TopicSpec] = Field(default_factory=dict)
    policies: dict[str, int] = Field(default_factory=dict)
    canaries: dict[str, CanarySpec] = Field(default_factory=dict)

    def dump(self) -> bytes:
        """Canonical JSON."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)

    @property
    def hash(self) -> str:
        return digest_of(self.dump())[:16]


class Snapshot(Spec):
    """Everything that a worker serves. Plans map a name to steps with scope `plan NAME`."""

    versions: tuple[VersionSpec, ...] = ()
    plans: dict[str, tuple[StepSpec, ...]] = Field(default_factory=dict)
    gateway: tuple[StepSpec, ...] = ()
    topics: dict[str, TopicSpec] = Field(default_factory=dict)
    policies: dict[str, int] = Field(default_factory=dict)  # named policies and the revision each follows
    canaries: dict[str, CanarySpec] = Field(default_factory=dict)  # component@version: who gets its canary

    def dump(self) -> bytes:
        """Canonical JSON: sorted keys, so that equal snapshots have equal bytes."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)

    @cached_property
    def outline(self) -> Outline:
        """Reckoned once; so are the digests of the versions, which snapshots share."""
        return Outline(
            versions={each.name: each.digest for each in self.versions},
            plans=self.plans,
            gateway=self.gateway,
            topics=self.topics,
            policies=self.policies,
            canaries=self.canaries,
        )

    @cached_property
    def hash(self) -> str:
        """Equal snapshots have equal ones."""
        return self.outline.hash

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        for name in ("outline", "hash"):
            copied.__dict__.pop(name, None)
        return copied


def load(data: bytes) -> Snapshot:
    """The snapshot that `dump` wrote. ValueError when it is not one."""
    return Snapshot.model_validate_json(data)


def load_outline(data: bytes) -> Outline:
    """The outline that `Outline.dump` wrote. ValueError when it is not one."""
    return Outline.model_validate_json(data)


def load_version(data: bytes) -> VersionSpec:
    """The version that `VersionSpec.dump` wrote. ValueError when it is not one."""
    return VersionSpec.model_validate_json(data)
