"""Backup and restore on the admin REST: a file streamed out, a file taken in, read whole before anything is written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from gateway.admin.backup import Source
from gateway.admin.backup_file import MEDIA_TYPE, read
from gateway.admin.bodies import flag, media_type
from gateway.admin.restore import Restore
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.admin.trial import trial
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest, Problem, Unavailable, UnsupportedMediaType

log: Final = logging.getLogger("gateway.admin")


def entries(service: Service) -> Iterator[Entry]:
    backups = _Backups(service)
    yield Entry("/backup", "GET", backups.take, "admin")
    yield Entry("/restore", "POST", backups.restore, "admin")


class NoRoom(Unavailable):
    """The file does not fit on this node's disk."""

    title, code = "There is no room for the backup", "no_room"


class _Backups:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def take(self, request: Request, token: Token) -> Any:
        """Who takes one is in the audit before its first byte leaves."""
        service, messages = self.service, flag(request, "messages")
        copies = service.copies if messages else None
        headers = {"Content-Disposition": 'attachment; filename="penstock.backup"'}
        if request.method == "HEAD":
            return Response(media_type=MEDIA_TYPE, headers=headers)
        await service.callers.flush()
        about = {"actor": token.name, "action": "backup", "subject": "store", "messages": messages}
        await service.store.commit([], about)
        source = Source(service.store, service.callers.usage, service.hasher, service.clock, copies)
        lines = source.lines()
        first = await anext(lines)
        return StreamingResponse(_whole(first, lines), media_type=MEDIA_TYPE, headers=headers)

    async def restore(self, request: Request, token: Token) -> Any:
        if media_type(request) != MEDIA_TYPE or request.headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMediaType(f"Send what a backup gave: Content-Type: {MEDIA_TYPE}, without encoding.")
        replace, bare = flag(request, "replace"), flag(request, "without_credentials")
        service = self.service
        with contextlib.closing(await _spooled(request, service.scratch)) as file:
            backup = await asyncio.to_thread(read, file, service.hasher, trusting=bare)
            work = Restore(
                backup,
                service.store,
                service.callers.usage,
                service.copies,
                token.name,
                keep=token.id,
                replace=replace,
                credentials=not bare,
            )
            if (now := trial()) is not None:
                now.told = await work.plan()
                return None
            told = await work.run()
        await service.node.settled()
        return told


async def _whole(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What fails on the way cuts the connection: the file has no end then, and is refused."""
    yield first
    try:
        async for part in rest:
            yield part
    except Problem as error:
        log.warning("a backup was cut off: %s", error)
        raise


async def _spooled(request: Request, folder: Path | None) -> IO[bytes]:
    """In a file without a name, which ends with this process, whatever happens. NoRoom."""
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            async for chunk in request.stream():
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(file.flush)
            stack.pop_all()
            return file
    except ClientDisconnect:
        raise BadRequest("The backup did not arrive whole. Nothing was written.") from None
    except OSError as error:
        raise NoRoom(
            f"It cannot be kept while it is read ({error.strerror}). Make room on the disk of this node's data folder."
        ) from None
