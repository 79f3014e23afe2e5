"""Reads the PROXY header of a connection that was just accepted, exactly up to its end: what follows it, a TLS hello as
well as a request, stays in the socket for whoever serves the connection."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from gateway.core.proxy_header import Malformed, Origin, complete, consume, parse

_PEEK: Final = 4096


async def read_origin(accepted: socket.socket, seconds: float) -> Origin:
    """Malformed, TimeoutError, OSError."""
    header = b""
    async with asyncio.timeout(seconds):
        while not complete(header):
            seen = header + await _peek(accepted)
            taken = consume(seen, len(header))
            accepted.recv(taken - len(header))
            header = seen[:taken]
    return parse(header)


async def _peek(accepted: socket.socket) -> bytes:
    """What has arrived and is not taken yet, at least a byte of it."""
    while True:
        try:
            seen = accepted.recv(_PEEK, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(accepted)
            continue
        if not seen:
            raise Malformed("the connection ended before its PROXY header")
        return seen


async def _readable(accepted: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    arrived = loop.create_future()

    def tell() -> None:
        if not arrived.done():
            arrived.set_result(None)

    loop.add_reader(accepted.fileno(), tell)
    try:
        await arrived
    finally:
        loop.remove_reader(accepted.fileno())
