"""The documents that people write, as models: their JSON Schemas are published in `openapi/` for editors.

A document is checked here for its own shape only; what it refers to is checked by `resolve` and by `snapshot`.
Maps are keyed, so that versions can inherit: `extends` merges them by key, null removes an entry.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from gateway.core.durations import seconds
from gateway.manifest.http_backend import HttpBackend
from gateway.manifest.model import Document

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
VersionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
StepId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}(/[a-z][a-z0-9_-]{0,62})?$")]
BasePath = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~{}-]+)+$")]
AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,62}$")]
Contact = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
RestKey = Annotated[str, StringConstraints(pattern=r"^(GET|HEAD|POST|PUT|PATCH|DELETE|ANY) /\S*$")]
NamedPolicy = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}(@[0-9]+)?$")]
Percent = Annotated[str, StringConstraints(pattern=r"^(100|[0-9]{1,2}(\.[0-9]{1,4})?)%$")]
QueryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,63}$")]
SchemaLike = dict[str, Any] | list[Any] | str  # JSON Schema 2020-12, or the short form: `int64`, `[Line]`, `string?`


DAY: Final = 86_400.0  # seconds


def moment(value: date | datetime) -> datetime:
    """A date means its first second, a time without an offset means UTC."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


class Step(Document):
    """One configured step. Without an `id` it gets its kind's name."""

    id: StepId | None = None
    use: Name = Field(description="a policy kind, such as api-key: `penstock policies kinds` lists them")
    with_: dict[str, Any] = Field(default_factory=dict, alias="with", description="the kind's configuration")
    when: dict[str, Any] | None = Field(None, description="a structured match; the step runs only when it holds")
    locked: bool = Field(False, description="gateway steps only: inner lists can neither replace nor drop it")


class Drop(Document):
    """Takes an inherited step out."""

    drop: StepId


Steps = list[Step | Drop | NamedPolicy]  # `base` stands for the outer list


class Brownout(Document):
    """A time in which a deprecated version answers 503, so that who still calls it notices: `{from, until}` once, or
    `{at: "09:00", for: 15m}` every day, with `days` on some of them."""

    from_: date | datetime | None = Field(None, alias="from", description="its first moment; UTC unless it says more")
    until: date | datetime | None = Field(None, description="the first moment after it")
    at: str | None = Field(None, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="every day at, in UTC")
    for_: str | None = Field(None, alias="for", description="how long each time, at most 1d")
    days: list[Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]] | None = Field(
        None, min_length=1, description="with `at`: on these days; default: on all"
    )

    @model_validator(mode="after")
    def _whole(self) -> Brownout:
        once = (self.from_ is not None, self.until is not None)
        again = (self.at is not None, self.for_ is not None)
        if not (all(once) and not any(again) and self.days is None) and not (all(again) and not any(once)):
            raise ValueError("write `from` and `until`, or `at` and `for`")
        if self.for_ is not None and seconds(self.for_) > DAY:
            raise ValueError("a brownout lasts a day at most")
        if self.from_ is not None and self.until is not None and moment(self.from_) >= moment(self.until):
            raise ValueError("`until` comes after `from`")
        return self


class Lifecycle(Document):
    status: Literal["draft", "published", "deprecated", "retired"] = "published"
    since: date | datetime | None = Field(None, description="deprecated since: the Deprecation field (RFC 9745)")
    sunset: date | datetime | None = Field(None, description="gone after: the Sunset field (RFC 8594)")
    successor: VersionName | None = None
    documentation: str | None = Field(None, description="URL for Link: rel=deprecation")
    sunset_acts: bool = Field(False, description="from the sunset on the version answers 410, as if it were retired")
    brownouts: list[Brownout] = Field(default_factory=list, description="a deprecated version answers 503 then")

    @model_validator(mode="after")
    def _acts(self) -> Lifecycle:
        if self.sunset_acts and self.sunset is None:
            raise ValueError("`sunset_acts` needs a `sunset`")
        if self.brownouts and self.status != "deprecated":
            raise ValueError("`brownouts` are for a version whose status is deprecated")
        return self


class Guard(Document):
    """When a new revision, or a canary, is taken back by the gateway itself: by its own numbers, or by those beside the
    revision that it takes the place of."""

    errors: Percent | None = Field(None, description="more 5xx than this share of its requests: 5%")
    p99: str | None = Field(None, description="99 of 100 requests take longer than that: 500ms")
    errors_above: Percent | None = Field(None, description="so many percentage points more than the other revision: 2%")
    p99_factor: float | None = Field(None, gt=1, le=1000, description="so many times the p99 of the other revision")
    window: str = Field("1m", description="of the last requests, at most 10m")
    minimum: int = Field(100, ge=1, description="requests in the window below which nothing is decided")
    watch: str = Field("10m", description="how long after an activation; a canary is watched as long as it is one")

    @model_validator(mode="after")
    def _whole(self) -> Guard:
        if not any((self.errors, self.p99, self.errors_above, self.p99_factor)):
            raise ValueError("say what is too much: errors, p99, errors_above or p99_factor")
        if seconds(self.window) > 600:
            raise ValueError("the window is 10m at most")
        for text in (self.p99, self.watch):
            if text is not None:
                seconds(text)
        return self


class ValueDeclaration(Document):
    """A value that the Environment gives; never part of a revision."""

    required: bool = False
    default: str | int | float | bool | None = None
    description: str = ""


class ErrorDeclaration(Document):
    status: int = Field(ge=400, le=599)
    title: str = ""
    detail: SchemaLike | None = None


class HttpOperation(Document):
    """A typed call of an HTTP backend that speaks JSON."""

    backend: Identifier
    request: str = Field(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /\S*$", description="METHOD /path/{parameter}")
    query: dict[str, Identifier] = Field(default_factory=dict, description="query name: parameter")
    headers: dict[HeaderName, str] = Field(default_factory=dict, description="fixed values or {parameter}")
    body: Identifier | None = Field(None, description="the parameter that is the JSON body")
    result: str = Field("", description="dotted path to the output in the answer; empty: all of it")
    errors: dict[int, Identifier] = Field(default_factory=dict, description="status: declared error")


class SoapCall(Document):
    """How a SOAP service is called: the element of its request, of its answer, and of its faults' details."""

    version: Literal["1.1", "1.2"] = "1.1"
    action: str = Field("", pattern=r"^[!#-\[\]-~]*$", description="SOAPAction, or the action of SOAP 1.2")
    namespace: str = Field(description="of the request's and the answer's element")
    element: Identifier = Field(description="the request's element: the parameters stand in it, in their order")
    response: Identifier | None = Field(None, description="the answer's element; none: one way")
    result: Identifier | None = Field(None, description="the one element that is the output; none: all are")
    qualified: bool = Field(True, description="whether what is inside of the elements has their namespace, too")
    errors: dict[Identifier, Identifier] = Field(default_factory=dict, description="detail's element: declared error")


class SoapOperation(SoapCall):
    """A typed call of a SOAP service behind an HTTP backend."""

    backend: Identifier
    path: str = Field(pattern=r"^/[!-\"$-~]*$", description="where the service listens; a query may follow")


class Operation(Document):
    """Named and typed. A process brings its own contract; the others write `input` and `output`."""

    python: str | None = Field(None, description="name of a process that a runtime registered")
    http: HttpOperation | None = None
    soap: SoapOperation | None = None
    fixed: Any = Field(None, description="the answer itself: for stubs and tests")
    effect: Literal["safe", "idempotent", "writing"] | None = None
    input: dict[Identifier, SchemaLike] | None = None
    output: SchemaLike | None = None
    errors: dict[Identifier, ErrorDeclaration] | None = None
    summary: str = ""
    description: str = ""


class SqlBackend(Document):
    url: str = Field(description="SQLAlchemy URL with an asynchronous driver: sqlite+aiosqlite, postgresql+asyncpg")
    pool_size: int = Field(5, ge=1, le=200)
    timeout: str = "10s"


class BackendDeclaration(Document):
    """Exactly one kind."""

    http: HttpBackend | None = None
    sql: SqlBackend | None = None


class TopicTarget(Document):
    topic: Name


class Endpoint(Document):
    """What answers a REST route: `call` (typed) or `relay` (bytes)."""

    call: Identifier | TopicTarget | None = None
    relay: Identifier | None = Field(None, description="an HTTP backend")
    path: str | None = Field(None, description="relay: the upstream path; ** stands for what the route's ** matched")
    websocket: bool | None = Field(None, description="relay: WebSockets; default: unless a policy works on bodies")
    body: Identifier | None = Field(None, description="call: the parameter that is the whole body")
    query: dict[Identifier, str] = Field(default_factory=dict, description="parameter: query name, where they differ")
    headers: dict[Identifier, HeaderName] = Field(default_factory=dict, description="parameter: header field")
    status: int | None = Field(None, ge=200, le=299, description="call: the status of success")
    policies: Steps | None = None
    summary: str = ""
    description: str = ""


class Soap(Document):
    namespace: str = Field(min_length=1, description="the WSDL's target namespace: a URI such as urn:example:shop:v2")
    operations: list[Identifier] = Field(min_length=1)
    policies: Steps | None = None


class Navigation(Document):
    to: Identifier
    many: bool | None = None


class EntitySet(Document):
    """`table` (`backend.table`) or `call` (a safe operation that answers a list of records)."""

    table: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_.]*$")
    call: Identifier | None = None
    key: list[Identifier] | None = Field(None, description="default: the table's primary key")
    columns: list[Identifier] | None = Field(None, description="table: the columns that are shown; default: all")
    navigation: dict[Identifier, Navigation] = Field(default_factory=dict)
    max_rows: int = Field(10_000, ge=1, description="call: more rows than that are refused, never cut")
    page_size: int = Field(1000, ge=1, le=100_000, description="server-driven paging")
    policies: Steps | None = None


class OData(Document):
    namespace: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")
    entity_sets: dict[Identifier, EntitySet] = Field(default_factory=dict)
    operations: list[Identifier] = Field(default_factory=list)
    policies: Steps | None = None


class Retry(Document):
    """Delays before the second and later deliveries; after the last one the message is a dead letter."""

    preset: Literal["boomi"] | None = Field(None, description="boomi: 1, 2, 3, 5, 8, 24 s")
    delays: list[str] | None = None


class Listener(Document):
    """Runs its operation (the map's key) for each message."""

    topic: Name
    body: Identifier | None = Field(None, description="the parameter that is the whole payload")
    concurrency: int = Field(1, ge=1, le=1000)
    retry: Retry = Retry()


class ApiComponent(Document):
    kind: Literal["ApiComponent"]
    name: Name
    version: VersionName
    extends: VersionName | None = None
    title: str = ""
    description: str = ""
    base_path: BasePath
    select_by: list[Literal["path", "header", "query", "media-type", "date"]] = Field(
        ["path"], min_length=1, description="how requests name a version; two ways that name two are refused"
    )
    version_header: HeaderName = "Api-Version"
    version_query: QueryName = Field("api-version", description="query: the parameter; backends do not see it")
    released: date | None = Field(None, description="date: a request by that date or a later one may get this version")
    default: bool = Field(False, description="answers requests that name no version")
    documents: Literal["protected", "public"] = Field(
        "protected", description="openapi.json, WSDL, $metadata: under the component's policies, or the gateway's only"
    )
    lifecycle: Lifecycle = Lifecycle()
    guard: Guard | None = Field(None, description="when a new revision is taken back by the gateway itself")
    values: dict[Identifier, ValueDeclaration] = Field(default_factory=dict)
    types: dict[Identifier, SchemaLike] = Field(default_factory=dict)
    backends: dict[Identifier, BackendDeclaration] = Field(default_factory=dict)
    operations: dict[Identifier, Operation] = Field(default_factory=dict)
    policies: Steps = Field(default_factory=list)
    rest: dict[RestKey, Identifier | Endpoint] = Field(default_factory=dict)
    soap: Soap | None = None
    odata: OData | None = None
    listeners: dict[Identifier, Listener] = Field(default_factory=dict)


class Policy(Document):
    """A named list of steps. The one named `gateway` stands outside of every component's own."""

    kind: Literal["Policy"]
    name: Name
    title: str = ""
    steps: Steps


class Quota(Document):
    """Requests in a calendar's day from 00:00, week from Sunday 00:00, and month from the 1st, all UTC."""

    day: int | None = Field(None, ge=1)
    week: int | None = Field(None, ge=1)
    month: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _some(self) -> Quota:
        if self.day is self.week is self.month is None:
            raise ValueError("say how many: `day`, `week` or `month`")
        return self


class Limits(Document):
    """Of each application, over all the APIs that it calls on the plan."""

    message_size: int | str | None = Field(None, description="of a request's body, as in 64KB or 1MiB; more is a 413")
    rate: str | None = Field(None, description="as in 100/1m, 10/s")
    quota: Quota | None = None


class Plan(Document):
    """What subscribers may do: its limits and steps run after the endpoint's."""

    kind: Literal["Plan"]
    name: Name
    title: str = ""
    limits: Limits = Limits()
    policies: Steps = Field(default_factory=list)


class Subscription(Document):
    api: Name
    plan: Name | None = None
    version: VersionName | None = Field(None, description="the version of the API that it is pinned to")


class Application(Document):
    kind: Literal["Application"]
    name: Name
    title: str = ""
    owner: str = ""
    contacts: list[Contact] = Field(default_factory=list, description="whom to tell: addresses, URLs, names")
    attributes: dict[AttributeName, str] = Field(default_factory=dict)
    status: Literal["active", "suspended"] | None = Field(
        None, description="suspended: nothing of it opens anything; none: as it is, active when it is new"
    )
    subscriptions: list[Subscription] = Field(default_factory=list)


class SecretSource(Document):
    """Where a node finds a secret: exactly one."""

    env: str | None = None
    file: str | None = None


class Environment(Document):
    """Values and secrets of a node; given by `penstock serve --environment FILE`, never stored."""

    kind: Literal["Environment"]
    name: Name = "default"
    values: dict[Identifier, str | int | float | bool] = Field(default_factory=dict)
    secrets: dict[Identifier, SecretSource] = Field(default_factory=dict)


class Topic(Document):
    kind: Literal["Topic"]
    name: Name
    title: str = ""
    message: SchemaLike | None = Field(None, description="the payload's JSON Schema; none: any JSON")
    max_length: int = Field(1_000_000, ge=1, description="messages kept; the oldest go first")


AnyDocument = Annotated[ApiComponent | Policy | Plan | Application | Environment | Topic, Field(discriminator="kind")]
