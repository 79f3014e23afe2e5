"""`mirror`: a share of the requests is copied to another version, to the canary, or to another backend; what comes back
is thrown away.

`{use: mirror, with: {to: v3, share: 10%}}`, `to: canary`, `to: {backend: shadow}`, or `to: https://shadow.example`. A
copy is made of a request that reached the version's own backend, once that has answered: the client never waits for it,
and what becomes of the copy reaches nobody but the metrics. A version gets the request as it came, with the identity
that was proved, through its own chain, in which nothing is proved or counted again; a backend or a URL gets what the
original's backend got.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.clock import Clock
from gateway.core.durations import seconds
from gateway.core.exchange import Exchange, Reply
from gateway.core.kinds import Built, Kind, Site
from gateway.core.secrets import KeyHasher
from gateway.core.shares import share
from gateway.policy.message_size import size
from gateway.policy.mirroring.copy import Copy, Mirroring, Send
from gateway.policy.mirroring.mark import Marker
from gateway.policy.mirroring.onward import Onward
from gateway.policy.mirroring.sending import to_backend, to_url, to_version
from gateway.relay.outside import Outside, parse
from gateway.telemetry.mirrors import Mirrors

CANARY: Final = "canary"
PARTS: Final = 10_000
LONGEST: Final = 60.0  # seconds that a copy may take
LARGEST: Final = 16 * 2**20  # bytes of a body that is copied
SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))  # RFC 9110 section 9.2.1, as far as they are relayed
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ToBackend(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str = Field(min_length=1, description="a backend of the version, of the kind `http`")

    def __str__(self) -> str:
        return f"backend {self.backend}"


class Mirror(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str | ToBackend = Field(
        description="another version of the component, `canary`, `{backend: NAME}` of the version, or a URL"
    )
    share: str = Field("100%", description="of the requests that may be copied")
    unsafe: bool = Field(False, description="copy others than GET, HEAD and OPTIONS, too: their work is done twice")
    max_body: int | str = Field("64KiB", description="of a request; one with a larger body is not copied")
    max_in_flight: int = Field(32, ge=1, le=1000, description="copies at once, in each worker; more are dropped")
    timeout: str = Field("5s", description="of a copy, up to 60s")
    forward_credentials: bool = Field(
        False,
        description="Authorization and Cookie go along, where a backend gets them; to `{backend: …}` all that it gets",
    )

    @field_validator("to")
    @classmethod
    def _somewhere(cls, text: str | ToBackend) -> str | ToBackend:
        if isinstance(text, ToBackend):
            return text
        if "://" in text:
            if "?" in text:
                raise ValueError("the URL has no query: each request brings its own")
            parse(text)
        elif _VERSION.fullmatch(text) is None:
            raise ValueError(f"`{text}` is neither a version, such as v3, nor `canary`, nor a URL")
        return text

    @field_validator("share")
    @classmethod
    def _some(cls, text: str) -> str:
        share(text)
        return text

    @field_validator("timeout")
    @classmethod
    def _bounded(cls, text: str) -> str:
        if not 0 < seconds(text) <= LONGEST:
            raise ValueError(f"a copy may take up to {LONGEST:g}s, not {text}")
        return text

    @field_validator("max_body")
    @classmethod
    def _held(cls, given: int | str) -> int | str:
        if size(given) > LARGEST:
            raise ValueError("a body of more than 16MiB is not copied, as it is held in memory")
        return given


def build(config: Mirror, site: Site) -> Built:
    source = f"{site.component}@{site.version}"
    clock: Clock = site.services.named("clock")
    mirroring = Mirroring(
        to=str(config.to),
        marker=Marker(source, site.services.find(KeyHasher), clock),
        onward=Onward(config.forward_credentials, _stays_inside(config.to), site.secrets),
        send=_sender(config.to, source, site),
        timeout=seconds(config.timeout),
        max_body=size(config.max_body),
        clock=clock,
        counts=site.services.find(Mirrors) or Mirrors(),
    )
    return _built(config, mirroring)


def _stays_inside(to: str | ToBackend) -> bool:
    return isinstance(to, ToBackend) or "://" not in to


def _sender(to: str | ToBackend, source: str, site: Site) -> Send:
    if isinstance(to, ToBackend):
        return to_backend(None if site.backend is None else site.backend(to.backend))
    if to == site.version:
        raise ValueError(f"{source} cannot be copied to itself; `to` names another version")
    if "://" not in to:
        return to_version(f"{source}~canary" if to == CANARY else f"{site.component}@{to}")
    outside = site.services.find(Outside)
    if outside is None:
        raise ValueError("this gateway calls nothing outside")
    outside.check(to)
    return to_url(outside, to)


def _versions(config: Mapping[str, Any]) -> tuple[str, ...]:
    to = config.get("to")
    return (to,) if isinstance(to, str) and to != CANARY and "://" not in to else ()


def _built(config: Mirror, mirroring: Mirroring) -> Built:
    limit, numbers = round(share(config.share) * PARTS), itertools.count(1)

    def pick(exchange: Exchange) -> None:
        head = exchange.head
        if head.upgrade or not (config.unsafe or head.method in SAFE) or mirroring.marker.holds(head.block):
            return
        number = next(numbers)
        if number * limit // PARTS == (number - 1) * limit // PARTS:
            return
        if mirroring.in_flight >= config.max_in_flight:
            mirroring.drop(exchange, "crowded")
        else:
            Copy(mirroring, exchange)

    def answered(exchange: Exchange, reply: Reply) -> None:
        copy: Copy | None = exchange.notes.get(mirroring) if exchange.notes is not None else None
        if copy is not None:
            copy.answered(exchange, reply.status)

    return Built(step=pick, after=answered, request_tap=mirroring.tap)


KIND = Kind(
    "mirror",
    Mirror,
    build,
    summary="A copy of a share of the requests to another version, the canary or another backend",
    family="traffic",
    example={"to": "canary", "share": "10%"},
    versions=_versions,
)
