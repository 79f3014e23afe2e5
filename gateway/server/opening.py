"""Opens a node's listening sockets, in the supervisor alone: it outlives the workers, so no connection is refused while
one of them is replaced.

A TCP listener has one socket per worker on the same port (SO_REUSEPORT), between which the kernel spreads connections;
see decision 0015. A unix socket has one for all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.core.listening import Listener, joined

BACKLOG: Final = 2048


class CannotListen(Exception):
    """The text names the place, says why, and what to do."""


@dataclass
class Opened:
    """`place` is where it listens indeed: a port 0 is resolved."""

    listener: Listener
    sockets: list[socket.socket] = field(default_factory=list)
    place: str = ""
    _inode: tuple[int, int] | None = None

    def descriptors(self, worker: int) -> tuple[int, ...]:
        """The worker's own first, then those of the others."""
        fds = [each.fileno() for each in self.sockets]
        own = worker % len(fds)
        return (fds[own], *fds[:own], *fds[own + 1 :])

    def close(self) -> None:
        """Also takes the socket's file away, unless another process has put its own there."""
        for each in self.sockets:
            each.close()
        path = self.listener.unix
        if path is not None and self._inode is not None and _inode(path) == self._inode:
            with contextlib.suppress(OSError):
                path.unlink()


def open_listener(listener: Listener, workers: int, hint: str = "Choose another place in listen.") -> Opened:
    """CannotListen."""
    opened = Opened(listener)
    try:
        if listener.unix is not None:
            _open_unix(opened, listener.unix)
        else:
            _open_tcp(opened, listener.host, listener.port, workers)
    except OSError as error:
        opened.close()
        raise CannotListen(f"Cannot listen on {listener.place}: {_reason(error)}. {hint}") from None
    return opened


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).rstrip(".")


def _open_tcp(opened: Opened, host: str, port: int, count: int) -> None:
    """The first binds alone, so that the port of another gateway is refused and not shared; then it lets the others
    in."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    for index in range(count):
        listening = socket.socket(family, socket.SOCK_STREAM)
        opened.sockets.append(listening)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host != "::":
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if index:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        if not index:
            address = listening.getsockname()
            if count > 1:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _listen(opened.sockets)
    opened.place = joined(host, int(address[1]))


def _open_unix(opened: Opened, path: Path) -> None:
    """The file has its mode from the first moment on."""
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.sockets.append(listening)
    before = os.umask(0o777 & ~opened.listener.socket_mode)
    try:
        listening.bind(str(path))
    finally:
        os.umask(before)
    opened._inode = _inode(path)
    path.chmod(opened.listener.socket_mode)
    _listen(opened.sockets)
    opened.place = f"unix:{path}"


def _listen(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.listen(BACKLOG)
        each.setblocking(False)


def _clear(path: Path) -> None:
    """Removes the file that a killed gateway left. OSError when somebody listens there, or it is another kind of
    file."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, "another kind of file is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
