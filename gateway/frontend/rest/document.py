"""A document that is the same for everybody: bytes made at publish time, with a strong ETag (RFC 9110, 8.8.3)."""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import Any, Final

import orjson

from gateway.core.exchange import Exchange, Reply
from gateway.frontend.frontend import Document

_TAG: Final = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"')


def json_document(value: dict[str, Any], media_type: bytes = b"application/json") -> Document:
    """Serves a value as JSON. JSON is YAML 1.2 as well: `application/yaml` serves the same bytes."""
    return document(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE), media_type)


def document(data: bytes, media_type: bytes) -> Document:
    """Serves bytes; 304 without them for a client that has them (RFC 9110 section 13.1.2)."""
    tag = b'"' + hashlib.sha256(data).hexdigest()[:32].encode() + b'"'
    packed = zlib.compress(data)  # thousands of versions have one each, and few are ever asked for
    validators = [(b"etag", tag), (b"cache-control", b"no-cache")]

    def serve(exchange: Exchange) -> Reply:
        if _has(exchange.head.get(b"if-none-match"), tag):
            return Reply(304, list(validators))
        return Reply(200, [(b"content-type", media_type), *validators], zlib.decompress(packed))

    return serve


def _has(given: bytes | None, tag: bytes) -> bool:
    """Weak comparison (RFC 9110 section 8.8.3.2)."""
    if given is None:
        return False
    return given.strip() == b"*" or any(one.removeprefix(b"W/") == tag for one in _TAG.findall(given))
