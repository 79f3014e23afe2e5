"""What a request that may change something makes of what is stored (RFC 9111 section 4.4): it is dropped."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from gateway.core.errors import StoreUnavailable
from gateway.core.exchange import Exchange, Reply
from gateway.core.headers import finder
from gateway.store.cached import url_tag
from gateway.store.cells import Cells

log: Final = logging.getLogger("gateway.cache")
SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
_elsewhere: Final = (finder(b"location"), finder(b"content-location"))


class Invalidation:
    """Of one step in one worker."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, exchange: Exchange, reply: Reply) -> None:
        """Of the target, and of what the response names on the same host."""
        head = exchange.head
        paths = {head.path}
        for find, name in zip(_elsewhere, (b"location", b"content-location"), strict=True):
            values = find(reply.block) + [value for key, value in reply.headers if key.lower() == name]
            paths.update(path for value in values if (path := _own_path(value, head.host)))
        for path in paths:
            task = asyncio.get_running_loop().create_task(self._purge(path))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _purge(self, path: bytes) -> None:
        try:
            await self._cells.purge(url_tag(path))
        except StoreUnavailable:
            log.warning("what is stored of a URL that was changed could not be dropped: the store is away")


def _own_path(value: bytes, host: bytes) -> bytes:
    """The path of a URL on this host; empty for another's."""
    if b"://" in value:
        authority, _, path = value.partition(b"://")[2].partition(b"/")
        value = b"/" + path if authority.lower() == host.lower() else b""
    path = value.partition(b"#")[0].partition(b"?")[0]
    return path if path.startswith(b"/") and not path.startswith(b"//") else b""
