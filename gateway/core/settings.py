"""Every setting of `penstock serve`: a flag, a `PENSTOCK_…` variable, or a line of one file; the flag wins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from gateway.core.egress import Egress
from gateway.core.listening import Listen, Listener, Network, clashes, joined
from gateway.core.runtimes import Runtime, clash
from gateway.core.secrets import Secret

PREFIX = "PENSTOCK_"
HOST = "127.0.0.1"
PORT = 8080
_ROLES = ("viewer", "publisher", "policy-editor", "operator", "admin")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ISSUER = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*")
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
HealthPath = Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~-]+)+$")]


class Settings(BaseModel):
    """Sizes are bytes, times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    manifests: Path | None = Field(None, description="folder of documents published at start")
    policies: Path | None = Field(None, description="folder of policies and plans applied at start")
    apply_at_start: Literal["always", "first"] = Field(
        "always", description="when these folders are applied: at each start, or only while nothing is live"
    )
    processes: tuple[str, ...] = Field((), description="packages whose processes and policies this node hosts")
    runtimes: tuple[Runtime, ...] = Field(
        (),
        description="runtimes whose processes this node may call: NAME=HOST:PORT or NAME=unix:PATH, then words such as "
        "ca=FILE",
    )
    runtime_token: Secret | None = Field(None, description="what they and this node know, their own token")
    policies_code: tuple[str, ...] = Field((), description="packages whose policies run isolated, a process for each")
    policies_memory: int = Field(
        512 * 1024 * 1024, ge=64 * 1024 * 1024, description="bytes that such a process may take"
    )
    environment: Path | None = Field(None, description="file of kind Environment: values and secrets of this node")
    store: str | None = Field(
        None, description="redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://; none: embedded"
    )
    store_password: Secret | None = Field(None, description="the store's, in place of one in its URL")
    sentinel_password: Secret | None = Field(None, description="of the Sentinels, where they have their own")
    data: Path = Field(Path("var"), description="folder of this node's own files")
    host: str | None = Field(None, description=f"of the first plain listener; default {HOST}")
    port: int | None = Field(
        None, ge=0, le=65535, description=f"of the first plain listener; default {PORT}; none when only listen is given"
    )
    listen: tuple[Listen, ...] = Field(
        (), description="further listeners: HOST:PORT or unix:PATH, then words such as certificate=FILE key=FILE"
    )
    admin_host: str = Field("127.0.0.1", description="where the admin REST listens")
    admin_port: int = Field(8081, ge=0, le=65535, description="its port")
    admin_origins: tuple[Origin, ...] = Field(
        (), description="where browsers reach the console, if not by an address: https://admin.example"
    )
    workers: int = Field(1, ge=1, le=256, description="processes that serve requests")
    node: str | None = Field(None, description="this node's name; default: the host name and the port")
    key_secret: Secret | None = Field(None, description="one per cluster; keys are stored as keyed hashes under it")
    admin_token: Secret | None = Field(None, description="the first admin token; otherwise made and printed once")
    viewer_token: Secret | None = Field(None, description="an admin token that may only look, as a monitor's")
    trusted_proxies: tuple[Network, ...] = Field(
        (), description="networks whose Forwarded and X-Forwarded-* are believed"
    )
    egress: tuple[str, ...] = Field(
        (), description="where backends may lead: networks, host names, unix:/path/*; ! forbids"
    )
    access_log: Path | None = Field(
        None, description="file of JSON lines; -: standard output; none: <data>/log/access.log"
    )
    audit_log: Path | None = Field(
        None, description="file of JSON lines to which the audit is written as well; -: standard output"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="of the node's own log")
    log_format: Literal["text", "json"] = Field("text", description="of the node's own log")
    metrics_host: str = Field(HOST, description="where metrics are served without credentials, with metrics_port")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="its port: for Prometheus alone, without credentials; none: off"
    )
    metrics_applications: int = Field(
        200, ge=0, description="series of applications in the metrics of a node; further ones are counted as other"
    )
    otlp_endpoint: str | None = Field(
        None, description="where traces go, by OTLP over HTTP: http://collector:4318; none: no traces"
    )
    otlp_headers: Secret | None = Field(None, description="sent with them, such as a token: name=value,name=value")
    otlp_timeout: float = Field(10.0, gt=0, le=60, description="seconds that the collector may take")
    traces_ratio: float = Field(0.01, ge=0, le=1, description="share of the traces that begin here which is kept")
    traces_parent: Literal["any", "trusted", "none"] = Field(
        "trusted",
        description="whose decision on a trace that goes on is followed: anybody's, trusted_proxies', nobody's",
    )
    traces_service: str = Field("penstock", min_length=1, max_length=255, description="service.name of the traces")
    traces_attributes: tuple[str, ...] = Field((), description="NAME=VALUE of the traces' resource; may be repeated")
    max_body: int = Field(1024 * 1024, ge=0, description="bytes of a body that a step may need whole; then 413")
    largest_body: int = Field(16 * 1024 * 1024, ge=0, description="bytes that a message-size step may allow instead")
    expiry_warning: float = Field(
        1_209_600.0, ge=0, description="seconds before a key's end at which log and metrics tell of it; 0: never"
    )
    max_stale: float = Field(86400.0, gt=0, description="seconds for which the last known good may decide")
    head_timeout: float = Field(10.0, gt=0, description="seconds in which a request's head must have arrived; then 408")
    body_timeout: float = Field(30.0, gt=0, description="seconds that a body, or a client that reads, may stand still")
    keep_alive: float = Field(60.0, gt=0, description="seconds that a connection may be unused between requests")
    min_rate: int = Field(64, ge=0, description="bytes a second that a slow body or a slow reader must reach; 0: any")
    max_connections: int | None = Field(None, ge=1, description="of clients, per worker; default by the open files")
    max_exchanges: int | None = Field(None, ge=1, description="in flight, per worker; default by the open files")
    max_lag: float = Field(0.2, ge=0, description="seconds that a worker may be late; then requests get 503; 0: never")
    health_path: HealthPath = Field("/-", description="the gateway's own answers: <path>/live and <path>/ready")
    ready_when_empty: bool = Field(False, description="whether <path>/ready is 200 while nothing is live")
    issuer: str | None = Field(
        None, description="URL of this gateway as an issuer of tokens; switches its token endpoint on"
    )
    token_path: HealthPath = Field("/oauth2", description="where the token endpoint stands: <path>/token and others")
    token_lifetime: float = Field(900.0, ge=1, le=86400, description="seconds that a token of the issuer lasts")
    signing_algorithm: Literal["ES256", "RS256"] = Field("ES256", description="of the next key that signs tokens")
    signing_key_age: float = Field(
        7_776_000.0, ge=0, description="seconds after which another key signs tokens; 0: never by itself"
    )
    signing_key_lead: float = Field(
        3600.0, ge=0, description="seconds for which a new key is published before it signs"
    )
    admin_oidc_issuer: str | None = Field(None, description="identity provider whose tokens the admin REST takes")
    admin_oidc_audience: str | None = Field(None, min_length=1, description="what the `aud` of such a token must name")
    admin_oidc_claim: str = Field("roles", min_length=1, description="the claim that tells a person's roles")
    admin_oidc_roles: tuple[str, ...] = Field(
        (), description="VALUE=ROLE: the role of who has that value in the claim; may be repeated"
    )
    admin_oidc_components: str | None = Field(
        None, min_length=1, description="the claim that lists the API components a person is bound to"
    )
    admin_oidc_client_id: str | None = Field(
        None, min_length=1, description="this gateway at the provider, with which people sign in at the console"
    )
    admin_oidc_client_secret: Secret | None = Field(None, description="its secret, where the provider gave it one")
    admin_oidc_cli_client_id: str | None = Field(
        None, min_length=1, description="the public client with which people sign in by penstock login"
    )
    admin_oidc_scopes: tuple[str, ...] = Field(("openid", "profile", "email"), description="what both ask for")
    admin_oidc_resource: str | None = Field(
        None, description="URL of the resource that both ask a token for (RFC 8707), where the provider wants one"
    )
    grace: float = Field(30.0, gt=0, description="seconds that SIGTERM waits for exchanges in flight")
    drain_delay: float = Field(
        1.0, ge=0, description="seconds of that in which it still accepts, while <path>/ready is 503"
    )

    @model_validator(mode="after")
    def _listeners_can_stand(self) -> Self:
        if found := clashes(self.listeners):
            raise ValueError(f"listen: {found}")
        for each in self.listen:
            if each.proxy_protocol is True and each.address and not self.trusted_proxies:
                raise ValueError(
                    f"listen: {each.label} takes the PROXY protocol from trusted_proxies, and there are none; name the "
                    "networks in trusted_proxies, or in proxy_protocol itself"
                )
        return self

    @model_validator(mode="after")
    def _runtimes_fit(self) -> Self:
        if found := clash(self.runtimes):
            raise ValueError(f"runtimes: {found}")
        for each in self.runtimes:
            if each.unix is None and self.runtime_token is None:
                raise ValueError(
                    f"runtimes: {each.name} is reached by a port, so this node has to prove itself: give "
                    "runtime_token, the one that the runtime has"
                )
        return self

    @model_validator(mode="after")
    def _store_passwords_fit(self) -> Self:
        if self.store_password is not None and (self.store is None or _has_password(self.store)):
            raise ValueError("store_password goes with a store whose URL has no password; give one of the two")
        if self.sentinel_password is not None and "+sentinel://" not in (self.store or ""):
            raise ValueError("sentinel_password goes with a store that is redis+sentinel:// or rediss+sentinel://")
        return self

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Host and port are the first, plain one; with `listen` only if one of the two is given."""
        if self.listen and self.host is None and self.port is None:
            return self.listen
        port = PORT if self.port is None else self.port
        return (Listener(address=joined(self.host or HOST, port)), *self.listen)

    @model_validator(mode="after")
    def _people_fit(self) -> Self:
        """Without an audience any token of the provider would do, without roles none."""
        given = (self.admin_oidc_issuer, self.admin_oidc_audience, self.admin_oidc_roles)
        if any(given) and not all(given):
            raise ValueError("admin_oidc_issuer, admin_oidc_audience and admin_oidc_roles go together: give all three")
        for each in self.admin_oidc_roles:
            value, _, role = each.rpartition("=")
            if not value or role not in _ROLES:
                raise ValueError(f"admin_oidc_roles: {each!r} is not VALUE=ROLE with one of {', '.join(_ROLES)}")
        if (self.admin_oidc_client_id or self.admin_oidc_cli_client_id) and self.admin_oidc_issuer is None:
            raise ValueError("admin_oidc_client_id and …_cli_client_id are of a provider: give admin_oidc_issuer")
        if self.admin_oidc_client_secret is not None and self.admin_oidc_client_id is None:
            raise ValueError("admin_oidc_client_secret is of a client: give admin_oidc_client_id")
        if "openid" not in self.admin_oidc_scopes:
            raise ValueError("admin_oidc_scopes has to hold openid (OpenID Connect Core 1.0 section 3.1.2.1)")
        return self

    @field_validator("issuer", "admin_oidc_issuer")
    @classmethod
    def _is_issuer(cls, url: str | None) -> str | None:
        """RFC 8414 section 2; without TLS on this machine alone."""
        if url is None:
            return None
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
        plain = _ISSUER.fullmatch(url) is not None and "//" not in parts.path and not parts.path.endswith("/")
        if not plain or not (parts.scheme == "https" or local) or parts.username is not None:
            raise ValueError(
                "write it as https://HOST or https://HOST/PATH, without a slash at its end, a query or a fragment; "
                "http:// is for 127.0.0.1 and localhost alone"
            )
        return url

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_endpoint(cls, url: str | None) -> str | None:
        """The base URL, or the whole one ending in /v1/traces."""
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("write it as http://HOST:4318 or https://HOST/PATH, without a query")
        if parts.username is not None:
            raise ValueError("credentials do not belong into a URL; give them by otlp_headers")
        return url.rstrip("/")

    @field_validator("otlp_headers")
    @classmethod
    def _are_fields(cls, fields: Secret | None) -> Secret | None:
        if fields is not None:
            named_values(fields.reveal())
        return fields

    @field_validator("traces_attributes")
    @classmethod
    def _are_attributes(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        named_values(",".join(entries))
        return entries

    @field_validator("egress")
    @classmethod
    def _is_egress(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        Egress.parse(entries)
        return entries


def _has_password(url: str) -> bool:
    return urlsplit(url).netloc.rpartition("@")[0].partition(":")[2] != ""


def named_values(text: str) -> dict[str, str]:
    """`name=value,name=value`, percent-decoded (W3C Baggage, as the variables of OpenTelemetry are written). The error
    does not show the text, which may hold a secret."""
    found = {}
    for number, part in enumerate(filter(None, (part.strip() for part in text.split(","))), 1):
        name, equals, value = part.partition("=")
        if not equals or _NAME.fullmatch(name.strip()) is None or _CONTROL.search(unquote(value)):
            raise ValueError(f"part {number} is not NAME=VALUE; parts stand between commas, a comma in a value as %2C")
        found[name.strip()] = unquote(value.strip())
    return found


def from_environment(
    environ: Mapping[str, str], model: type[BaseModel] = Settings, prefix: str = PREFIX
) -> dict[str, Any]:
    """The `PENSTOCK_…` variables that name settings; lists are comma separated."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        text = environ.get(prefix + name.upper())
        if text is not None:
            found[name] = _split(text) if "tuple" in str(field.annotation) else text
    return found


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
