"""What of a message's head goes on, and what we add. Pure.

Dropped from requests: hop-by-hop fields (RFC 9110 section 7.6.1) and those that Connection names; what frames the
message and Host, which are written anew; what tells of the client (Forwarded, X-Forwarded-*, X-Real-IP and its kin,
client certificates, X-Request-Id), which is ours to say; identity fields (X-Penstock-*, X-Consumer*, X-Credential*,
X-Authenticated-*), always, also where no policy runs (CASES H33); fields by which servers let a request name another
path, host or method (X-Original-*, X-Rewrite-*, X-HTTP-Method*, X-Method-Override, X-Host), Proxy, which CGI turns
into a variable, and X-Mirrored-From, by which a copy of a request is known.

Connection cannot name away what an upstream needs to read the message or to know its sender (CASES H32).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from gateway.core import headers
from gateway.core.exchange import Edits, Exchange, Head
from gateway.core.framing import tokens
from gateway.core.framing_reply import ReplyHead

_REST: Final = rb"[^:\r\n]*+"  # of a name
_HOP: Final = (
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
)
_FRAMING: Final = (b"content-length", b"expect", b"host")
_CLIENT: Final = (
    b"forwarded",
    rb"x-forwarded(?:-[^:\r\n]*+)?",
    b"x-real-ip",
    b"client-ip",
    b"x-client-ip",
    b"true-client-ip",
    b"x-cluster-client-ip",
    b"cf-connecting-ip",
    b"fastly-client-ip",
    b"x-remote-(?:addr|ip|user)",
    b"remote-user",
    b"x-request-id",
    b"x-host",
    b"x-http-host-override",
    b"ssl-client-" + _REST,
    b"x-ssl-client-" + _REST,
    b"x-client-cert" + _REST,
)
_IDENTITY: Final = (
    b"x-penstock-" + _REST,
    b"x-consumer" + _REST,
    b"x-credential" + _REST,
    b"x-authenticated-" + _REST,
    b"x-anonymous-consumer",
)
_ELSEWHERE: Final = (
    b"x-original-" + _REST,
    b"x-rewrite-" + _REST,
    b"x-http-method(?:-override)?",
    b"x-method-override",
    b"proxy",
)
_COPIED: Final = (b"x-mirrored-from",)  # ours to say, too
_NEVER: Final = (*_HOP, *_FRAMING, *_CLIENT, *_IDENTITY, *_ELSEWHERE, *_COPIED)
_reply_drop: Final = headers.line_of((*_HOP, b"content-length", b"server", b"x-request-id")).sub
_connection: Final = headers.finder(b"connection")
_KEPT: Final = frozenset(
    (b"content-type", b"content-encoding", b"content-language", b"authorization", b"cookie", b"accept", b"close")
)
_HOP_NAMES: Final = frozenset((b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"))
_NOTHING: Final[frozenset[bytes]] = frozenset()
_WITH_BODY: Final = frozenset((b"POST", b"PUT", b"PATCH"))
_OF_PARTS: Final = frozenset((b"accept-encoding", b"range", b"if-range"))
_of_parts: Final = headers.dropper(_OF_PARTS)
VIA: Final = b"\r\nVia: 1.1 penstock"
_VIA_10: Final = b"\r\nVia: 1.0 penstock"


def request_head(exchange: Exchange, target: bytes, authority: bytes, length: int) -> bytes:
    """The head that the upstream gets, with its empty line. `length` of the body; -1: chunked."""
    head, edits, conceals = exchange.head, exchange.edited, exchange.chain.conceals
    block = head.memo.get(conceals)
    if block is None:
        block = head.memo[conceals] = _onward(head, conceals)
    framing = body_line(head.method, length) if length or head.method in _WITH_BODY else b""
    own = True
    if edits is not None:
        if edits.drop:
            block = without(block, edits.drop)
            own = b"x-request-id" not in edits.drop
        framing += edits.add
    if not own:
        return b"%b %b HTTP/1.1\r\nHost: %b%b%b\r\n\r\n" % (head.method, target, authority, block, framing)
    return b"%b %b HTTP/1.1\r\nHost: %b%b%b\r\nX-Request-Id: %b\r\n\r\n" % (
        head.method,
        target,
        authority,
        block,
        framing,
        exchange.id.encode(),
    )


def _onward(head: Head, conceals: frozenset[bytes]) -> bytes:
    """The client's fields that go on, then ours. Nothing of it depends on more than the block and the connection."""
    peer = head.peer
    block = _dropper(conceals)(b"", head.block)
    if named := _named(head.block):
        block = without(block, named)
    via = _VIA_10 if head.http10 else VIA
    return block + forwarded(peer.client, peer.address, peer.scheme, head.host) + via


@lru_cache(maxsize=4096)
def _dropper(conceals: frozenset[bytes]) -> Callable[[bytes, bytes], bytes]:
    """Drops what never goes on and what a chain conceals, in one pass; a chain's names are configured, so few."""
    return headers.line_of((*_NEVER, *map(headers.escaped, sorted(conceals)))).sub


def body_line(method: bytes, length: int) -> bytes:
    """The line that frames a request body."""
    if length < 0:
        return b"\r\nTransfer-Encoding: chunked"
    if length or method in _WITH_BODY:
        return b"\r\nContent-Length: %d" % length
    return b""


def ask_whole(edits: Edits) -> None:
    """Asks for the response as it is, and all of it: a step reads its body. A server may ignore Range (RFC 9110
    section 14.2); identity is what it sends without a reason for another coding."""
    edits.drop |= _OF_PARTS
    edits.add = _of_parts(edits.add) + b"\r\nAccept-Encoding: identity"


def reply_block(head: ReplyHead) -> bytes:
    """A response's fields without those of this hop, with Via."""
    if head.onward is None:
        block = _reply_drop(b"", head.block)
        if head.named and (drop := head.named - _KEPT - _HOP_NAMES):
            block = without(block, drop)
        head.onward = block + VIA
    return head.onward


def _named(block: bytes) -> frozenset[bytes]:
    """The fields that Connection names and may name."""
    values = _connection(block)
    if not values:
        return _NOTHING
    return frozenset(token for value in values for token in tokens(value)) - _KEPT - _HOP_NAMES


def without(block: bytes, names: frozenset[bytes] | set[bytes]) -> bytes:
    """A block without the named fields. No expression is compiled, as a client may choose the names."""
    before, *lines = block.split(b"\r\n")
    return b"\r\n".join([before, *(line for line in lines if line.partition(b":")[0].lower() not in names)])


@lru_cache(maxsize=1024)
def forwarded(client: str, address: str, scheme: str, host: bytes) -> bytes:
    """Forwarded (RFC 7239) and X-Forwarded-*: the believed client, then the proxy that named it."""
    hops = [client or "unknown"]
    if address and address != client:
        hops.append(address)
    first = f"for={_node(hops[0])}" + (f';host="{host.decode()}"' if host else "") + f";proto={scheme}"
    lines = [
        ("Forwarded", ", ".join([first, *(f"for={_node(hop)}" for hop in hops[1:])])),
        ("X-Forwarded-For", ", ".join(hops)),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Host", host.decode()),
    ]
    return headers.block((name.encode(), value.encode()) for name, value in lines if value)


def _node(address: str) -> str:
    return f'"[{address}]"' if ":" in address else address
