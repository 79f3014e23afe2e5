"""The document model of an HTTP backend: its targets, how they are chosen, and what happens when they fail."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway.manifest.model import Document

FieldName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9$._~-]{1,64}$")]
Status = Annotated[int, Field(ge=100, le=599)]
ServerError = Annotated[int, Field(ge=500, le=599)]


class WeightedTarget(Document):
    """A target with a share of its own."""

    url: str = Field(description="http://host:port, https://host:port or unix:/run/app.sock")
    weight: int = Field(1, ge=1, le=1000, description="its share, in proportion to the others'")


class HashKey(Document):
    """Exactly one: where a request's key is found."""

    header: FieldName | None = None
    query: KeyName | None = None
    cookie: KeyName | None = None
    parameter: ParameterName | None = Field(None, description="a parameter of the route's path")


class HashBalance(Document):
    """Requests with one key go to one target, as long as it is usable (consistent hashing)."""

    hash: Literal["client-ip", "application", "path"] | HashKey
    bound: float | None = Field(
        None, ge=1, le=100, description="at most so many times its share of the requests in flight; others go further"
    )


class HealthChecks(Document):
    """A GET of every target, by every worker, off the request path."""

    path: str = Field(pattern=r"^/[!-\"$-~]*$", description="such as /health; a query may follow")
    interval: str = "10s"
    timeout: str = "2s"
    healthy: int = Field(2, ge=1, le=100, description="so many good answers in a row bring a target back")
    unhealthy: int = Field(3, ge=1, le=100, description="so many bad ones take it out; the first check decides alone")
    status: list[Status] = Field(default_factory=list, description="the good answers; none given: any 2xx")


class EjectionRule(Document):
    """Leaves a target out that fails in a row, as long as there are others."""

    failures: int = Field(5, ge=1, le=10_000)
    time: str = Field("30s", description="the first time; each time in short order makes it longer")
    max_time: str = "5m"
    share: float = Field(0.5, gt=0, le=1, description="of the targets, at most; one may always be left out")


class CircuitRule(Document):
    """Stops calling what fails: 503 with Retry-After until one request was let through and went well."""

    per: Literal["target", "upstream"] = "target"
    failures: int = Field(5, ge=0, le=100_000, description="in a row; 0: only the rate counts")
    rate: float | None = Field(None, gt=0, le=1, description="of the calls within the window, such as 0.5")
    calls: int = Field(20, ge=1, le=1_000_000, description="fewer within the window say nothing of the rate")
    window: str = "10s"
    open: str = Field("30s", description="until one request is let through")


class UpstreamTls(Document):
    """For https targets. Files are absolute paths on the nodes, or secrets that hold PEM text."""

    ca: str | None = Field(None, description="who signs their certificates; default: the system's authorities")
    certificate: str | None = Field(None, description="the gateway's own, with its chain")
    key: str | None = Field(None, description="the certificate's, not encrypted")
    server_name: str | None = Field(None, description="asked for (SNI) and verified instead of the target's host")
    verify: bool = Field(True, description="false takes any certificate: for tests only")


class HttpBackend(Document):
    targets: list[str | WeightedTarget] = Field(
        min_length=1, description="http://host:port, https://host:port or unix:/run/app.sock; {url, weight}"
    )
    balance: Literal["round-robin", "least-loaded"] | HashBalance = "round-robin"
    timeout: str = Field("30s", description="until the first byte of the answer")
    connect_timeout: str = "5s"
    idle_timeout: str = Field("60s", description="between two bytes of the answer")
    stream_idle: str = Field("1h", description="how long an event stream, or a WebSocket both ways, may be silent")
    total_timeout: str | None = Field(None, description="for the whole exchange, also while it streams")
    retries: int = Field(0, ge=0, le=5, description="for idempotent requests, when no byte of an answer came")
    retry_on: list[ServerError] = Field(
        default_factory=list, description="statuses for which GET, HEAD and OPTIONS are sent again, within retries"
    )
    fail_on: list[Status] = Field(
        default_factory=lambda: [502, 503, 504], description="statuses that ejection and circuit count as failures"
    )
    max_connections: int = Field(256, ge=1, description="to each target (each address of a name), of each worker")
    queue: int = Field(256, ge=0, description="requests that wait for a connection; further ones get 503")
    queue_timeout: str = Field("10s", description="how long each waits; then 503")
    keep_alive: str = Field("30s", description="how long an unused connection stays; a shorter Keep-Alive is honoured")
    max_age: str | None = Field(None, description="after which a connection is not used again")
    max_requests: int | None = Field(None, ge=1, description="after which a connection is not used again")
    dns_ttl: str = Field("5s", description="how long addresses count whose answer names no time")
    health: HealthChecks | None = None
    ejection: EjectionRule | None = None
    circuit: CircuitRule | None = None
    slow_start: str | None = Field(None, description="in which a target that comes back grows to its share")
    tls: UpstreamTls | None = None
