"""The words of what became of requests and messages on the admin REST: callers, copies, caches, dead letters."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import COUNT, NULLABLE, ONE, READ, STRING, About, items, record

_CALLER: Final = record({"application": NULLABLE, "calls": COUNT, "first": STRING, "last": STRING})
_MIRRORED: Final = record(
    {
        "endpoint": STRING,
        "to": STRING,
        "compared": COUNT,
        "different": COUNT,
        "statuses": {"type": "object", "additionalProperties": COUNT},
        "original_seconds": {"type": ["number", "null"]},
        "copy_seconds": {"type": ["number", "null"]},
        "dropped": {"type": "object", "additionalProperties": COUNT},
    }
)

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/versions/{name}/callers"): About(
        "Who called a version, by application",
        "From real requests of the last days (UTC), today among them; the application is null where none was known.",
        role="viewer",
        query=(("days", {"type": "integer", "minimum": 1, "maximum": 400}, "How many days; default 30."),),
        answer=record({"name": STRING, "days": COUNT, "calls": COUNT, "items": {"type": "array", "items": _CALLER}}),
        refusals=(400, *READ),
    ),
    ("GET", "/versions/{name}/mirror"): About(
        "What copies of a version's requests got",
        "Of the policy `mirror`, by endpoint, on all nodes since they started. `statuses` counts pairs: the original's "
        "and the copy's, as `200 500`. Times are means, to the answer's head; null where nothing was compared.",
        role="viewer",
        answer=record({"name": STRING, "items": {"type": "array", "items": _MIRRORED}}),
        refusals=ONE,
    ),
    ("GET", "/topics/{topic}/dead-letters"): About(
        "Lists messages that no delivery could process",
        answer=items(record({"listener": STRING, "id": STRING}, closed=False)),
        answer_text="The messages, without their payloads",
        query=(
            ("listener", STRING, "Of this listener alone, such as shop@v2/bill_order."),
            ("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "How many of each listener; default 100."),
            ("after", STRING, "With a listener: those behind this dead letter. Link leads there."),
        ),
        answer_headers=("Link",),
        refusals=(400, *ONE),
    ),
    ("POST", "/cache/purge"): About(
        "Drops what caches have stored, on all nodes",
        "By one of tag, version (component@version) and url (its path, with every query).",
        role="operator",
        body=record({}, {"tag": NULLABLE, "version": NULLABLE, "url": NULLABLE}),
        answer=record({"purged": COUNT}),
        answer_text="How many responses were dropped",
        refusals=(400, 401, 403, 413, 415, 503),
    ),
    ("POST", "/topics/{topic}/dead-letters/{listener:path}/{id}/redrive"): About(
        "Delivers a dead letter again", role="operator", answer=record({"id": STRING}), refusals=(*ONE, 400, 409)
    ),
}
