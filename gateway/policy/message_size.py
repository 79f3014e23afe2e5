"""`message-size`: how many bytes a body may have. `{use: message-size, with: {limit: 1MB, response: 10MB}}`.

A request that says its length is refused before any of it is read; one that does not is counted as it passes, and never
held for it. Where steps need a body whole, this is their limit in the place of the node's own, up to what the node
allows. Bytes are counted as they are sent: what comes of a content coding is bounded by the same number.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core import headers
from gateway.core.bodies import BodyLimits, ReplyLimit, RequestLimit, Streamed
from gateway.core.errors import BadGateway, BadRequest, ContentTooLarge, Problem
from gateway.core.exchange import Exchange, Reply, Tap
from gateway.core.kinds import Built, Kind, Site

log: Final = logging.getLogger("gateway")

_SIZE: Final = re.compile(r"(\d{1,12})\s*(B|KB|MB|GB|KiB|MiB|GiB)?")
_find_range: Final = headers.finder(b"range")

Pieces = Callable[[bytes, bool], bytes]
_UNITS: Final = {None: 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def size(value: int | str) -> int:
    """`1MB` → 1000000, `1MiB` → 1048576. ValueError says how to write it."""
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise ValueError(f"`{value}` is no size; write it as 1048576, 64KB, 1MB or 1MiB")
    return int(match[1]) * _UNITS[match[2]]


class MessageSize(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int | str | None = Field(None, description="of request bodies: 1048576, 64KB, 1MB, 1MiB")
    response: int | str | None = Field(None, description="of the bodies of replies")

    ranges: int | None = Field(None, ge=0, description="parts of a representation that one request may ask for")

    @field_validator("limit", "response")
    @classmethod
    def _readable(cls, value: int | str | None) -> int | str | None:
        if value is not None:
            size(value)
        return value

    @model_validator(mode="after")
    def _says_something(self) -> MessageSize:
        if self.limit is None and self.response is None and self.ranges is None:
            raise ValueError("it needs `limit` (of requests), `response`, or `ranges`")
        return self


def build(config: MessageSize, site: Site) -> Built:
    limits = site.services.find(BodyLimits) or BodyLimits()
    request = None if config.limit is None else size(config.limit)
    response = None if config.response is None else size(config.response)
    whole = 0 if response is None else min(response, limits.most)  # of a reply that a step needs whole
    ranges = config.ranges

    def bound(exchange: Exchange) -> None:
        if request is not None and exchange.head.length:
            if exchange.head.length > request:
                raise _too_large(request)
            _leave(exchange, RequestLimit, min(request, limits.most))
        if ranges is not None and _ranges(exchange.head.block) > ranges:
            raise BadRequest(f"At most {ranges} ranges may be asked for at once.", target="header.Range")
        if response is not None:
            if exchange.notes is None:
                exchange.notes = {ReplyLimit: whole}
            else:
                _leave(exchange, ReplyLimit, whole)

    def after(exchange: Exchange, reply: Reply) -> None:
        """A whole reply, or one that says its length; others meet the tap."""
        assert response is not None
        length = _announced(exchange) if reply.body is None else len(reply.body)
        if length is not None and length > response and exchange.problem is None:
            raise _reply_too_large(exchange, response)

    return Built(
        step=bound,
        after=None if response is None else after,
        request_tap=None if request is None else _request_tap(request),
        response_tap=None if response is None else _response_tap(response),
    )


def _ranges(block: bytes) -> int:
    """How many a request asks for (RFC 9110 section 14.1.2)."""
    values = _find_range(block)
    return sum(value.count(b",") + 1 for value in values)


def _leave(exchange: Exchange, key: object, limit: int) -> None:
    """For whoever collects the body; of several steps the narrowest counts."""
    notes = exchange.notes
    exchange.note(key, limit if notes is None else min(limit, notes.get(key, limit)))


def _announced(exchange: Exchange) -> int | None:
    """Bytes that the relayed response says that it has."""
    streamed = None if exchange.notes is None else exchange.notes.get(Streamed)
    return None if streamed is None else streamed[1]


def _request_tap(limit: int) -> Tap:
    def tap(exchange: Exchange) -> Pieces | None:
        if exchange.head.length >= 0 or exchange.body is not None:
            return None  # its length is known, and was looked at
        return _counting(limit, lambda: _too_large(limit))

    return tap


def _response_tap(limit: int) -> Tap:
    def tap(exchange: Exchange) -> Pieces | None:
        if _announced(exchange) is not None:
            return None
        return _counting(limit, lambda: _reply_too_large(exchange, limit))

    return tap


def _counting(limit: int, problem: Callable[[], Problem]) -> Pieces:
    left = limit

    def count(data: bytes, _last: bool) -> bytes:
        nonlocal left
        left -= len(data)
        if left < 0:
            raise problem()
        return data

    return count


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"The body may have at most {limit} bytes.")


def _reply_too_large(exchange: Exchange, limit: int) -> BadGateway:
    log.warning("request %s: the response has more than the %d bytes that it may have", exchange.id, limit)
    return BadGateway(f"The backend's response has more than the {limit} bytes that it may have.")


KIND = Kind(
    "message-size",
    MessageSize,
    build,
    summary="How many bytes a request's body and a reply's may have",
    family="validation",
    example={"limit": "1MB", "response": "10MB"},
)
