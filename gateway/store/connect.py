"""Stores, counters and streams by URL: the one place that knows which implementation a scheme means."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.store.cells import Cells
from gateway.store.client import is_cluster
from gateway.store.cluster_counters import ClusterCounters
from gateway.store.cluster_line import ClusterLine
from gateway.store.counters import Counters
from gateway.store.lines import ServerLine
from gateway.store.memory import MemoryStore
from gateway.store.memory_cells import MemoryCells
from gateway.store.memory_counters import MemoryCounters
from gateway.store.memory_streams import MemoryStreams
from gateway.store.redis_cells import RedisCells
from gateway.store.redis_counters import RedisCounters
from gateway.store.redis_store import RedisStore
from gateway.store.redis_streams import RedisStreams
from gateway.store.redis_usage import RedisUsage
from gateway.store.store import Store
from gateway.store.stream_copies import RedisStreamCopies, StreamCopies
from gateway.store.streams import Streams
from gateway.store.usage import MemoryUsage, Usage

MEMORY: Final = "memory://"
CELLS_TIMEOUT: Final = 0.25  # seconds for a call of the cells, whose values may be large


class OwnedCounters(Counters, Protocol):
    """Counters with the connection that belongs to them."""

    async def close(self) -> None: ...


def open_store(url: str, prefix: str = "penstock", *, migrates: bool = True) -> Store:
    """redis://, rediss://, unix://, redis+cluster://, rediss+cluster:// or memory:// (a store of its own each time).
    Connects with the first command, and brings the store to this release's form if it `migrates`. InvalidInput for
    another scheme."""
    return MemoryStore(lasts=False) if url == MEMORY else RedisStore(url, prefix, migrates=migrates)


def open_streams(url: str, prefix: str = "penstock") -> Streams:
    """As `open_store`; on a cluster each topic lives on one primary."""
    return MemoryStreams() if url == MEMORY else RedisStreams(url, prefix)


def open_stream_copies(url: str, prefix: str = "penstock") -> StreamCopies | None:
    """As `open_store`; None for messages in memory, which end with their process."""
    return None if url == MEMORY else RedisStreamCopies(url, prefix)


def open_usage(url: str, prefix: str = "penstock") -> Usage:
    """As `open_store`."""
    return MemoryUsage() if url == MEMORY else RedisUsage(url, prefix)


async def connect_counters(url: str, prefix: str = "penstock") -> OwnedCounters:
    """Counters on the store of that URL. A store that is not there is tried again in the background; until then
    every take delivers None."""
    if url == MEMORY:
        return MemoryCounters()
    counters = ClusterCounters(url, prefix) if is_cluster(url) else RedisCounters(url, prefix)
    await counters.connect()
    return counters


def open_cells(url: str, prefix: str = "penstock") -> Cells:
    """Cells on the store of that URL; they connect when something is built that uses them."""
    if url == MEMORY:
        return MemoryCells()
    return RedisCells(ClusterLine(url, CELLS_TIMEOUT) if is_cluster(url) else ServerLine(url, CELLS_TIMEOUT), prefix)
