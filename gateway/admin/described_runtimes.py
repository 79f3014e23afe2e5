"""The words of runtimes and processes on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import (
    BOOLEAN,
    COUNT,
    NULLABLE,
    NUMBER,
    ONE,
    STRING,
    STRINGS,
    About,
    Schema,
    items,
    record,
    ref,
)

_STANDING: Final[dict[str, Schema]] = {
    "connected": COUNT | {"description": "processes of it that are connected"},
    "trouble": NULLABLE | {"description": "why none is; null: one is"},
}
_SUMMARY: Final[dict[str, Schema]] = {
    "name": STRING,
    "place": STRING | {"description": "where it listens, as the node was told"},
    "tls": BOOLEAN,
    "pin": {"enum": ["contract", "code"], "description": "what other code must have in common to run for a revision"},
    "timeout": NUMBER | {"description": "seconds that one call may take"},
    **_STANDING,
    "nodes": {"type": "array", "items": record({"node": STRING, **_STANDING})},
}
_HOSTED: Final = record(
    {
        "process": STRING,
        "effect": {"enum": ["safe", "idempotent", "writing"]},
        "summary": STRING,
        "digest": STRING | {"description": "of its code"},
    }
)
_PROCESS: Final = record(
    {
        "runtime": STRING | {"description": "what it calls itself"},
        "release": STRING,
        "started": NUMBER | {"description": "seconds since 1970"},
        "draining": BOOLEAN,
        "hosts": {"type": "array", "items": _HOSTED},
    }
)
_PLACED: Final = record(
    {
        "name": STRING | {"description": "version and operation"},
        "version": STRING,
        "operation": STRING,
        "process": STRING,
        "digest": STRING | {"description": "of the code that the version was published with"},
        "code": {
            "enum": ["own", "fits", "none"],
            "description": "whether that code runs, other code whose contract fits, or nothing can run it now",
        },
        "at": STRINGS | {"description": "the runtimes where it does; gateway: in the gateway's own workers"},
        "why": STRINGS | {"description": "why others that host it do not"},
    }
)

SCHEMAS: Final[dict[str, Schema]] = {"Runtime": record(_SUMMARY)}
DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/runtimes"): About(
        "Lists the runtimes that this node may call, with how all nodes reach them",
        answer=items(ref("Runtime")),
        answer_text="The runtimes",
        paged=True,
    ),
    ("GET", "/runtimes/{name}"): About(
        "Shows a runtime: its processes, and what they host",
        answer=record({**_SUMMARY, "processes": {"type": "array", "items": _PROCESS}}),
        answer_text="The runtime",
        refusals=ONE,
    ),
    ("GET", "/processes"): About(
        "Lists the operations of live versions that are processes, and where they run",
        "As this node is connected now.",
        answer=items(_PLACED),
        answer_text="The operations",
        paged=True,
    ),
}
