"""`backup` and `restore` on the store itself, for when no gateway can prove who asks: the key secret is the proof."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.cli.failures import USAGE, Failed

Written = Callable[[Iterator[bytes]], dict[str, Any]]


def backup(url: str, messages: bool, write: Written) -> dict[str, Any]:
    """Looks only: also where the store takes no writes. `write` runs in a thread; what it returns."""
    return asyncio.run(_backup(url, messages, write))


def restore(
    url: str, pieces: Iterator[bytes], *, dry_run: bool, replace: bool, without_credentials: bool
) -> dict[str, Any]:
    return asyncio.run(_restore(url, pieces, dry_run, replace, without_credentials))


def _hasher() -> Any:
    from gateway.core.secrets import KeyHasher, Secret

    found = os.environ.get("PENSTOCK_KEY_SECRET", "")
    if len(found) < 16:
        text = "--store needs PENSTOCK_KEY_SECRET, that of the cluster: a backup is sealed with it."
        raise Failed(text, USAGE)
    return KeyHasher(Secret(found))


@asynccontextmanager
async def _opened(url: str, migrates: bool) -> AsyncIterator[tuple[Any, Any, Any]]:
    """The store, usage and messages. Passwords stand in variables, as arguments are seen by others."""
    from gateway.store.address import with_password
    from gateway.store.connect import open_store, open_stream_copies, open_usage

    passwords = (os.environ.get(f"PENSTOCK_{name}_PASSWORD") for name in ("STORE", "SENTINEL"))
    whole = with_password(url, *passwords)
    opened = open_store(whole, migrates=migrates), open_usage(whole), open_stream_copies(whole)
    try:
        yield opened
    finally:
        for each in opened:
            if each is not None:
                await each.close()


async def _backup(url: str, messages: bool, write: Written) -> dict[str, Any]:
    from gateway.admin.backup import Source
    from gateway.core.clock import SystemClock

    hasher, loop = _hasher(), asyncio.get_running_loop()
    async with _opened(url, migrates=False) as (store, usage, copies):
        lines = Source(store, usage, hasher, SystemClock(), copies if messages else None).lines()

        def pieces() -> Iterator[bytes]:
            while (piece := asyncio.run_coroutine_threadsafe(_next(lines), loop).result()) is not None:
                yield piece

        return await asyncio.to_thread(write, pieces())


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)


async def _restore(
    url: str, pieces: Iterator[bytes], dry_run: bool, replace: bool, without_credentials: bool
) -> dict[str, Any]:
    from gateway.admin.backup_file import read
    from gateway.admin.restore import Restore

    hasher = _hasher()
    async with _opened(url, migrates=True) as (store, usage, copies):
        with tempfile.TemporaryFile() as spool:
            for piece in pieces:
                spool.write(piece)
            found = read(spool, hasher, trusting=without_credentials)
            bare = without_credentials
            work = Restore(found, store, usage, copies, "restore --store", replace=replace, credentials=not bare)
            return await (work.plan() if dry_run else work.run())
