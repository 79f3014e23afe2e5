"""What a message says that its body is: its media type (RFC 9110 section 8.3.1)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.core import headers
from gateway.core.exchange import Head, Reply

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_TYPE: Final = re.compile(rb"[ \t]*+(" + _TOKEN + rb"/" + _TOKEN + rb")[ \t]*+(?:;.*)?+", re.DOTALL)
_find: Final = headers.finder(b"content-type")


@lru_cache(maxsize=512)
def essence(value: bytes) -> str:
    """`application/json` of a Content-Type, in lower case; empty when it is none."""
    match = _TYPE.fullmatch(value)
    return match[1].decode("ascii").lower() if match else ""


def of_request(head: Head) -> str:
    """Empty when it is missing, malformed, or there more than once."""
    values = _find(head.block)
    return essence(values[0]) if len(values) == 1 else ""


def is_readable(head: Head) -> bool:
    """It says at most one media type, and in a way that is understood: what does not, somebody else may take for what
    it is not here."""
    values = _find(head.block)
    return not values or (len(values) == 1 and bool(essence(values[0])))


def of_reply(reply: Reply) -> str:
    value = reply.get(b"content-type")
    return essence(value) if value is not None else ""


def is_json(media_type: str) -> bool:
    """application/json and what ends in +json (RFC 6838 section 4.2.8)."""
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def is_xml(media_type: str) -> bool:
    """RFC 7303."""
    return media_type in ("application/xml", "text/xml") or media_type.endswith("+xml")


def is_form(media_type: str) -> bool:
    return media_type in ("application/x-www-form-urlencoded", "multipart/form-data")
