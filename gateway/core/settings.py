"""Every setting of `penstock serve`: a flag, a `PENSTOCK_…` variable, or a line of one file; the flag wins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.egress import Egress
from gateway.core.secrets import Secret

PREFIX = "PENSTOCK_"


class Settings(BaseModel):
    """Sizes are bytes, times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifests: Path | None = Field(None, description="folder of documents published at start")
    policies: Path | None = Field(None, description="folder of policies and plans applied at start")
    processes: tuple[str, ...] = Field((), description="packages whose processes this node hosts")
    environment: Path | None = Field(None, description="file of kind Environment: values and secrets of this node")
    store: str | None = Field(None, description="redis://, rediss://, unix:// or redis+cluster://; none: embedded")
    data: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    admin_host: str = "127.0.0.1"
    admin_port: int = Field(8081, ge=0, le=65535)
    workers: int = Field(1, ge=1, le=256)
    node: str | None = Field(None, description="this node's name; default: the host name and the port")
    key_secret: Secret | None = Field(None, description="one per cluster; keys are stored as keyed hashes under it")
    admin_token: Secret | None = Field(None, description="the first admin token; otherwise made and printed once")
    trusted_proxies: tuple[str, ...] = Field((), description="networks whose Forwarded headers are believed")
    egress: tuple[str, ...] = Field(
        (), description="where backends may lead: networks, host names, unix:/path/*; ! forbids"
    )
    access_log: Path | None = Field(None, description="file of JSON lines; none: <data>/log/access.log")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="of the node's own log")
    max_body: int = Field(1024 * 1024, ge=0, description="bytes that a buffering step accepts")
    max_stale: float = Field(86400.0, gt=0, description="how long the last known good may decide")
    head_timeout: float = Field(10.0, gt=0)
    body_timeout: float = Field(30.0, gt=0)
    keep_alive: float = Field(60.0, gt=0)
    grace: float = Field(30.0, gt=0, description="how long SIGTERM waits for exchanges in flight")

    @field_validator("egress")
    @classmethod
    def _is_egress(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        Egress.parse(entries)
        return entries


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The `PENSTOCK_…` variables that name settings; lists are comma separated."""
    found: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        text = environ.get(PREFIX + name.upper())
        if text is not None:
            found[name] = _split(text) if "tuple" in str(field.annotation) else text
    return found


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
