"""What a client sends and takes: Content-Type and Accept, as RFC 9110 sections 8.3 and 12.5.1 have them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.core.errors import NotAcceptable, UnsupportedMediaType
from gateway.core.exchange import Head

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_PARAMETER: Final = rb"[ \t]*+;[ \t]*+(?:(" + _TOKEN + rb")=(" + _TOKEN + rb'|"(?:[^"\\]|\\.)*+"))?+'
_PARAMETERS: Final = re.compile(_PARAMETER)
_MEDIA_TYPE: Final = re.compile(rb"(" + _TOKEN + rb")/(" + _TOKEN + rb")((?:" + _PARAMETER + rb")*+)[ \t]*+")
_QUALITY: Final = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_JSON_TYPES: Final = frozenset((b"application/json", b"application/json; charset=utf-8"))
_ANY_TYPES: Final = frozenset((b"*/*", b"application/json", b"application/json, */*"))


def require_json_body(head: Head) -> None:
    """UnsupportedMediaType unless the body says that it is JSON, in UTF-8, without a content coding."""
    given = head.get(b"content-type")
    if given not in _JSON_TYPES and not _is_json(given or b""):
        said = f"{given[:100].decode('latin-1')!r} is not accepted" if given else "the body's media type is missing"
        raise UnsupportedMediaType(
            f"{said[:1].upper()}{said[1:]}. Send JSON with Content-Type: application/json.",
            target="header.Content-Type",
            headers=[(b"accept", b"application/json")],
        )
    coding = head.get(b"content-encoding")
    if coding is not None and coding.lower() != b"identity":
        raise UnsupportedMediaType(
            "A body with a content coding is not accepted. Send it without Content-Encoding.",
            target="header.Content-Encoding",
            headers=[(b"accept-encoding", b"identity")],
        )


@lru_cache(maxsize=256)
def _is_json(value: bytes) -> bool:
    match = _MEDIA_TYPE.fullmatch(value)
    if match is None:
        return False
    type_, subtype = match[1].lower(), match[2].lower()
    charsets = [text for name, text in _PARAMETERS.findall(match[3]) if name.lower() == b"charset"]
    if any(charset.strip(b'"').lower() not in (b"utf-8", b"utf8", b"us-ascii") for charset in charsets):
        return False
    return type_ == b"application" and (subtype == b"json" or subtype.endswith(b"+json"))


def require_json_accepted(head: Head, vendor: bytes | None = None) -> None:
    """NotAcceptable when `Accept` rules out application/json, and the API's own subtype if it has one."""
    given = head.get(b"accept")
    if given is None or given in _ANY_TYPES or accepts(given):
        return
    if vendor is not None and accepts(given, b"application", vendor):
        return
    raise NotAcceptable(
        "This endpoint answers application/json, which the request's Accept header rules out.",
        target="header.Accept",
    )


@lru_cache(maxsize=256)
def accepts(value: bytes, type_: bytes = b"application", subtype: bytes = b"json") -> bool:
    """Whether an `Accept` value takes a media type. The most specific range that matches decides; ranges that cannot
    be read are left out, and nothing readable at all counts as no header."""
    best, quality, readable = -1, b"1", False
    at = 0
    while at < len(value):
        match = _MEDIA_TYPE.match(value, at)
        ended = match is not None and (match.end() == len(value) or value[match.end()] == 0x2C)
        if match is not None and ended:
            readable = True
            rank = _rank(match[1].lower(), match[2].lower(), type_, subtype)
            if rank > best:
                best, quality = rank, _quality(match[3])
        comma = value.find(b",", at) if match is None or not ended else match.end()
        at = len(value) if comma < 0 else comma + 1
        while at < len(value) and value[at] in b" \t":
            at += 1
    return not readable or (best >= 0 and float(quality) > 0)


def _rank(given_type: bytes, given_subtype: bytes, type_: bytes, subtype: bytes) -> int:
    """How closely a range names the media type; -1 when it does not."""
    if given_type == type_:
        return 2 if given_subtype == subtype else 1 if given_subtype == b"*" else -1
    return 0 if given_type == b"*" and given_subtype == b"*" else -1


def _quality(parameters: bytes) -> bytes:
    for name, value in _PARAMETERS.findall(parameters):
        if name.lower() == b"q":
            return value if _QUALITY.fullmatch(value) else b"0"
    return b"1"
