"""WebSocket handshakes (RFC 6455 section 4): what a client must send, and the one answer that opens a tunnel. Pure.

Version and key are checked before anything is sent and written anew, as Upgrade and Connection are, so that no step
and no Connection field can take them away. Anything but 101 with the right proof is an ordinary reply: a failed
handshake is never a tunnel (CASES F20).
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final, NamedTuple

from gateway.core import headers
from gateway.core.errors import BadGateway, BadRequest, Problem
from gateway.core.exchange import Head
from gateway.core.framing import tokens
from gateway.core.framing_reply import ReplyHead

SWITCHING: Final = b"\r\nConnection: Upgrade\r\nUpgrade: websocket"
ANSWER: Final = frozenset((b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions"))
OURS: Final = frozenset((b"sec-websocket-key", b"sec-websocket-version"))
_VERSION: Final = b"13"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_key: Final = re.compile(rb"[0-9A-Za-z+/]{22}==").fullmatch  # 16 bytes in base64
_upgrade: Final = headers.finder(b"upgrade")
_accept: Final = headers.finder(b"sec-websocket-accept")
_protocol: Final = headers.finder(b"sec-websocket-protocol")
_extensions: Final = headers.finder(b"sec-websocket-extensions")


class UpgradeRequired(Problem):
    status, title, code = 426, "Another WebSocket version is needed", "upgrade_required"


class Handshake(NamedTuple):
    """What a client offers. `protocols` as written, `extensions` their names in lower case."""

    key: bytes
    protocols: frozenset[bytes]
    extensions: frozenset[bytes]

    def lines(self) -> bytes:
        """The fields that ask the upstream."""
        return SWITCHING + b"\r\nSec-WebSocket-Version: " + _VERSION + b"\r\nSec-WebSocket-Key: " + self.key


def meant(head: Head) -> bool:
    """An offer of several protocols without a key is made for the others: an ordinary request."""
    return [value.lower() for value in _upgrade(head.block)] == [b"websocket"] or bool(head.all(b"sec-websocket-key"))


def read(head: Head) -> Handshake:
    """The handshake of a head that asks for a WebSocket (section 4.2.1). BadRequest for a malformed one,
    UpgradeRequired for another version: a server has to answer those with an error, not to serve them as something
    else."""
    if head.method != b"GET" or head.http10:
        raise BadRequest("A WebSocket is asked for by GET in HTTP/1.1.")
    if head.length:
        raise BadRequest("A WebSocket handshake has no body.")
    version = head.all(b"sec-websocket-version")
    if len(version) != 1:
        raise BadRequest("A WebSocket handshake has one Sec-WebSocket-Version.")
    if version[0] != _VERSION:
        raise UpgradeRequired("The WebSocket version served is 13.", headers=((b"Sec-WebSocket-Version", _VERSION),))
    key = head.all(b"sec-websocket-key")
    if len(key) != 1 or _key(key[0]) is None:
        raise BadRequest("A WebSocket handshake has one Sec-WebSocket-Key of 16 bytes in base64.")
    return Handshake(key[0], frozenset(_items(_protocol(head.block))), _names(_extensions(head.block)))


def accept(key: bytes) -> bytes:
    """The proof that a server understood the key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def confirm(handshake: Handshake, head: ReplyHead) -> None:
    """BadGateway unless this 101 answers this handshake (section 4.1)."""
    block, named = head.block, head.named
    if [value.lower() for value in _upgrade(block)] != [b"websocket"] or b"upgrade" not in named or named & ANSWER:
        raise BadGateway("The upstream switched to another protocol than WebSocket.")
    if head.length is not None or head.chunked:
        raise BadGateway("The upstream's answer to the WebSocket handshake has a body.")
    if _accept(block) != [accept(handshake.key)]:
        raise BadGateway("The upstream's answer does not belong to this WebSocket handshake.")
    chosen = _protocol(block)
    if len(chosen) > 1 or not handshake.protocols.issuperset(chosen):
        raise BadGateway("The upstream chose a WebSocket protocol that was not offered.")
    if not _names(_extensions(block)) <= handshake.extensions:
        raise BadGateway("The upstream chose a WebSocket extension that was not offered.")


def _items(values: list[bytes]) -> list[bytes]:
    return [item for value in values for part in value.split(b",") if (item := part.strip(b" \t"))]


def _names(values: list[bytes]) -> frozenset[bytes]:
    """Of extensions, without their parameters."""
    return frozenset(name for value in values for item in tokens(value) if (name := item.partition(b";")[0].strip()))
