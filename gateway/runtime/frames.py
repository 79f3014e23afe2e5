"""How a worker talks with what hosts code for it, a policy host or a runtime: frames of JSON and raw bytes.

A frame is two lengths (32 bits each, network order), a JSON object, and the body that it speaks of. Neither side
believes the other's lengths beyond its limits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

_HEAD: Final = struct.Struct(">II")
JSON_LIMIT: Final = 1_048_576  # bytes of the JSON part

Frame = tuple[dict[str, Any], bytes]


class BadFrame(ValueError):
    """What arrived is no frame; the connection is of no use any more."""


def pack(message: Mapping[str, Any], body: bytes = b"") -> bytes:
    told = orjson.dumps(message)
    return _HEAD.pack(len(told), len(body)) + told + body


class Frames:
    """Takes bytes as they come; `feed` yields every frame that is whole. `limit` bounds a body in bytes, `json_limit`
    the rest; both may be changed between two frames."""

    def __init__(self, limit: int, json_limit: int = JSON_LIMIT) -> None:
        self.limit = limit
        self.json_limit = json_limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """BadFrame for a length beyond the limits, and for what is no JSON object."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= _HEAD.size:
            json_length, body_length = _HEAD.unpack_from(buffer, at)
            if json_length > self.json_limit or body_length > self.limit:
                raise BadFrame(f"a frame of {json_length} and {body_length} bytes")
            middle = at + _HEAD.size + json_length
            end = middle + body_length
            if len(buffer) < end:
                break
            yield _object(bytes(buffer[at + _HEAD.size : middle])), bytes(buffer[middle:end])
            at = end
        del buffer[:at]


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadFrame(str(error)) from None
    if not isinstance(found, dict):
        raise BadFrame("a frame without a JSON object")
    return found
