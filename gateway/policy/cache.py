"""`cache`: answers from what the backend said before, shared by all workers and nodes (RFC 9111).

`{use: cache, with: {ttl: 1m}}`. A hit is answered before any step behind this one: authentication stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final, Literal
from urllib.parse import unquote_to_bytes

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from gateway.core.clock import Clock
from gateway.core.durations import Duration, seconds
from gateway.core.headers import FieldName
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.caching.lookup import Settings
from gateway.policy.caching.rules import LONGEST_TAG, MOST_NAMES, MOST_TAGS, Rules
from gateway.policy.caching.step import Cache as Running
from gateway.store.cells import Cells

LARGEST: Final = 2 * 1024 * 1024
_TAG: Final = re.compile(r"[!-+\--~]+")


def _tag(text: str) -> str:
    if _TAG.fullmatch(text) is None or len(text) > LONGEST_TAG:
        raise ValueError(f"a tag has up to {LONGEST_TAG} visible ASCII characters without a comma, not {text!r}")
    return text


Tag = Annotated[str, AfterValidator(_tag)]


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    only: tuple[str, ...] | None = Field(None, description="parameters that count; the others do not reach the backend")
    ignore: tuple[str, ...] = Field((), description="parameters that do not count, and do not reach the backend")
    sort: bool = Field(False, description="their order does not matter")

    @model_validator(mode="after")
    def _one(self) -> Query:
        if self.only is not None and self.ignore:
            raise ValueError("write `only` or `ignore`, not both")
        return self


class Cache(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ttl: Duration | None = Field(None, description="how long what says nothing of its freshness is fresh")
    heuristic: float | None = Field(
        None, gt=0, le=1, description="the part of its age since Last-Modified for which it is fresh, at most a day"
    )
    statuses: tuple[Annotated[int, Field(ge=200, le=599)], ...] = (200, 203, 204, 300, 301, 308)
    shared: bool = Field(False, description="responses do not depend on who asks, also where they do not say so")
    by: Literal["subject", "application"] = Field("subject", description="who shares a response that is not public")
    vary: tuple[FieldName, ...] = Field((), max_length=MOST_NAMES, description="request fields that always count")
    query: Query = Query()
    methods: tuple[Literal["GET", "POST"], ...] = Field(("GET",), min_length=1)
    max_request_body: int = Field(65_536, ge=1, le=1_048_576, description="bytes of a POST that is cached")
    max_body: int = Field(262_144, ge=1, le=LARGEST, description="bytes of the largest body that is stored")
    tags: tuple[Tag, ...] = Field((), max_length=MOST_TAGS)
    tag_fields: tuple[FieldName, ...] = ("Cache-Tag", "Surrogate-Key")
    set_cookie: Literal["refuse", "strip"] = Field(
        "refuse", description="a response with Set-Cookie, or only the field"
    )
    request_directives: bool = Field(True, description="Cache-Control of requests counts")
    stale_while_revalidate: Duration | None = Field(None, description="where the response says nothing")
    stale_if_error: Duration | None = Field(None, description="where the response says nothing")
    keep: Duration = Field("5m", description="how long what is stale is kept to be revalidated")
    collapse: bool = Field(True, description="of requests for the same thing one goes to the backend")
    wait: Duration = Field("5s", description="how long the others wait for it")
    variants: int = Field(100, ge=1, le=10_000, description="responses that are stored of one URL")

    @model_validator(mode="after")
    def _possible(self) -> Cache:
        if set(self.statuses) & {206, 304}:
            raise ValueError("206 and 304 are parts of other responses and cannot be stored")
        if self.shared and self.by != "subject":
            raise ValueError("`by` says who shares a response, and with shared: true everybody does; leave one out")
        if seconds(self.wait) > 60:
            raise ValueError("`wait` is at most 60s, as clients wait for it")
        return self


def build(config: Cache, site: Site) -> Built:
    cells: Cells = site.services.named("cells")
    clock: Clock = site.services.named("clock")
    cells.open()
    rules = Rules(
        statuses=frozenset(config.statuses),
        ttl=_seconds(config.ttl),
        heuristic=config.heuristic,
        shared=config.shared,
        vary=tuple(sorted({name.lower().encode() for name in config.vary})),
        tags=config.tags,
        tag_fields=tuple(name.lower().encode() for name in config.tag_fields),
        strip_cookies=config.set_cookie == "strip",
        revalidate=_seconds(config.stale_while_revalidate) or 0.0,
        error=_seconds(config.stale_if_error) or 0.0,
    )
    settings = Settings(
        version=f"{site.component}@{site.version}".encode(),
        rules=rules,
        body=config.max_body,
        posts=config.max_request_body if "POST" in config.methods else 0,
        by_application=config.by == "application",
        obeys=config.request_directives,
        collapse=config.collapse,
        wait=seconds(config.wait),
        variants=config.variants,
        keep=seconds(config.keep),
        query=_normaliser(config.query),
    )
    running = Running(settings, cells, clock)
    return Built(step=running.look, after=running.leave)


def _seconds(text: str | None) -> float | None:
    return None if text is None else seconds(text)


def _normaliser(query: Query) -> Callable[[bytes], bytes] | None:
    """None where the whole query counts as it is."""
    if query.only is None and not query.ignore and not query.sort:
        return None
    only = None if query.only is None else {name.encode() for name in query.only}
    ignored = {name.encode() for name in query.ignore}

    def normal(text: bytes) -> bytes:
        parts: list[bytes] = text.split(b"&") if text else []
        if only is not None:
            parts = [part for part in parts if _named(part) in only]
        elif ignored:
            parts = [part for part in parts if _named(part) not in ignored]
        if query.sort:
            parts.sort(key=_named)
        return b"&".join(parts)

    return normal


def _named(part: bytes) -> bytes:
    return unquote_to_bytes(part.partition(b"=")[0].replace(b"+", b" "))


KIND = Kind(
    "cache",
    Cache,
    build,
    summary="Answers from what the backend said before (RFC 9111)",
    family="traffic",
    answers=True,
    example={"ttl": "1m"},
)
