"""The words of the store's servers and of open endpoints on the admin REST (`described` has those of the others)."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import BOOLEAN, COUNT, NULLABLE, NUMBER, STRING, About, items, record

_SERVER: Final = record(
    {
        "server": STRING | {"description": "redis or valkey"},
        "version": STRING,
        "used": COUNT | {"description": "bytes of memory"},
        "maxmemory": COUNT | {"description": "bytes; 0: no limit"},
        "eviction": STRING | {"description": "what is forgotten when memory ends: its maxmemory-policy"},
        "appendonly": BOOLEAN | {"description": "whether it keeps an append-only file"},
        "appendfsync": NULLABLE | {"description": "when that is synced to disk; null: it does not tell"},
        "save": NULLABLE | {"description": "when it takes snapshots; empty: never; null: it does not tell"},
        "failed": STRING | {"description": "what it could not write when it tried last; empty: nothing"},
        "ping_seconds": NUMBER | {"description": "the median of a few, from this node"},
    }
)
_OPEN: Final = record(
    {
        "version": STRING,
        "endpoint": STRING,
        "step": STRING | {"description": "id of the step that lets everybody in"},
    }
)

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/store"): About(
        "Tells how the store's servers are set",
        "Each primary: its release, memory and eviction, what it keeps on disk, how fast it answers this node.",
        answer=items(_SERVER),
        answer_text="The servers; none where the store is in memory",
        refusals=(401, 403, 503),
    ),
    ("GET", "/open-endpoints"): About(
        "Lists the endpoints that are open to everybody",
        "Those with a step `anonymous`, or with `any-of` that has it, and no other that protects them at all times.",
        answer=items(_OPEN),
        answer_text="The endpoints",
        paged=True,
    ),
}
