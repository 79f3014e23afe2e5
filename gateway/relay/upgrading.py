"""A WebSocket through the relay: the handshake goes on like any request; a proper 101 joins the two connections."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core import chain as chains
from gateway.core.exchange import ANSWERING, Answering, Exchange, Reply
from gateway.core.framing_reply import ReplyHead
from gateway.core.outgoing import reads
from gateway.core.tunnel import End, Tunnel
from gateway.relay import hygiene, websocket
from gateway.relay.connection import Connection
from gateway.relay.forward import Forwarding
from gateway.relay.rotation import Rotation


def asks(exchange: Exchange, allowed: bool | None) -> bool:
    """Whether this handshake may open a tunnel. Where the manifest says nothing (None), it may unless a step of the
    chain works on bodies: a tunnel's bytes would pass it unseen (docs/decisions/0018-tunnels.md)."""
    if not websocket.meant(exchange.head):
        return False
    if allowed is not None:
        return allowed
    chain = exchange.chain
    looks = exchange.body is not None or chain.request_taps or chain.response_taps or reads(exchange)
    return not looks


def upgrade(exchange: Exchange, sending: Callable[[websocket.Handshake], Upgrading]) -> Answering | Reply:
    """Sends the handshake on. One of another version has a reply that names the protocol to upgrade to (RFC 9110
    section 15.5.22). Raises BadRequest."""
    try:
        handshake = websocket.read(exchange.head)
    except websocket.UpgradeRequired as problem:
        reply = exchange.chain.render(exchange, problem)
        reply.block += websocket.SWITCHING
        return reply
    sending(handshake).go()
    return ANSWERING


class Upgrading(Forwarding):
    """Until 101 an ordinary forwarding; its connection serves nobody else in any case, as an upstream may take for a
    tunnel what we do not."""

    __slots__ = ("_handshake",)

    def __init__(self, exchange: Exchange, rotation: Rotation, target: bytes, handshake: websocket.Handshake) -> None:
        self._handshake = handshake
        exchange.edits.drop |= websocket.OURS
        exchange.edits.add += handshake.lines()
        super().__init__(exchange, rotation, target)

    def transmit(self, connection: Connection, target_authority: bytes, prefix: bytes) -> None:
        super().transmit(connection, target_authority, prefix)
        if self._connection is connection:
            connection.retire()

    def switched(self, connection: Connection, head: ReplyHead, rest: bytes) -> None:
        websocket.confirm(self._handshake, head)
        self._heard_of(101)
        self._connection = None
        exchange = self._exchange
        exchange.sink = None
        tunnel = Tunnel(self._pool.settings.stream_idle)
        upstream = UpstreamEnd(tunnel, connection)
        reply = Reply(101, body=None, block=hygiene.reply_block(head) + websocket.SWITCHING)
        joined = False
        try:
            joined = chains.upgrade(exchange, reply, tunnel, upstream)
        finally:  # nobody else would end it, as it has been handed over
            if not joined:
                connection.drop()
        if not joined:
            return
        upstream.transport.set_protocol(upstream)
        if rest:
            upstream.data_received(rest)


class UpstreamEnd(End):
    """The upstream's end, which counts in its pool until it is gone."""

    __slots__ = ("_connection",)

    def __init__(self, tunnel: Tunnel, connection: Connection) -> None:
        super().__init__(tunnel, connection.hand_over(), masked=True)
        self._connection = connection

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)
        super().connection_lost(exc)
