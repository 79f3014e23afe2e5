"""The words of revisions of policies, activations, environments and listeners on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import (
    ANY,
    BOOLEAN,
    CHANGE,
    COUNT,
    MOMENT,
    NULLABLE,
    NUMBER,
    ONE,
    PUBLISHED,
    STRING,
    STRINGS,
    About,
    Schema,
    items,
    record,
    ref,
)

_REVISION: Final[dict[str, Schema]] = {
    "revision": COUNT,
    "current": BOOLEAN,
    "at": MOMENT,
    "actor": NULLABLE,
    "restores": {"type": ["integer", "null"], "description": "the revision that was rolled back to"},
}
_NAMES: Final = record({"known": STRINGS, "missing": STRINGS, "unused": STRINGS})
TOUCHED: Final[Schema] = {"type": "array", "items": ref("Touched")}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 10**9}

SCHEMAS: Final[dict[str, Schema]] = {
    "PolicyRevision": record(_REVISION),
    "Activation": record({"revision": STRING, "since": NUMBER, "actor": NULLABLE, "active": BOOLEAN}, {"pins": ANY}),
    "Environment": record({"node": STRING, "values": _NAMES, "secrets": _NAMES}),
    "Listener": record(
        {"listener": STRING, "live": BOOLEAN, "waiting": COUNT, "in_flight": COUNT, "retrying": COUNT, "dead": COUNT}
    ),
}

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/policies/{name}/revisions"): About(
        "Lists the revisions of a policy, the oldest first",
        answer=items(ref("PolicyRevision")),
        answer_text="Who applied which revision when",
        paged=True,
        refusals=ONE,
    ),
    ("GET", "/policies/{name}/revisions/{number}"): About(
        "Shows a revision of a policy",
        answer=record({"name": STRING, **_REVISION, "steps": {"type": "array", "items": {}}}),
        answer_text="The revision with its steps",
        refusals=ONE,
    ),
    ("GET", "/policies/{name}/diff"): About(
        "What differs between two revisions of a policy",
        query=(
            ("from", _NUMBER, "A revision; default: the one before `to`."),
            ("to", _NUMBER, "A revision; default: the current one."),
        ),
        answer=record({"from": COUNT, "to": COUNT, "items": {"type": "array", "items": ANY}}),
        answer_text="The differences",
        refusals=ONE,
    ),
    ("POST", "/policies/{name}/rollback"): About(
        "Makes an earlier revision's steps the newest revision of a policy",
        "By default those of the one before. Numbers never change their meaning: who pins one keeps it.",
        body=record({}, {"to": {"type": ["integer", "null"], "minimum": 1, "maximum": 10**9}}),
        body_required=False,
        answer=record({"name": STRING, "from": COUNT, "to": COUNT, **PUBLISHED, "touched": TOUCHED}),
        refusals=CHANGE,
    ),
    ("GET", "/versions/{name}/activations"): About(
        "Lists who made which revision of a version active when, the oldest first",
        "The last fifty before the one of now.",
        role="viewer",
        answer=items(ref("Activation")),
        answer_text="The activations",
        paged=True,
        refusals=ONE,
    ),
    ("POST", "/versions/{name}/activations"): About(
        "Makes a stored revision of a version the active one",
        role="publisher",
        body=record({"revision": STRING}, {"with_policies": {"type": ["boolean", "null"]}}),
        answer=ref("RolledBack"),
        refusals=CHANGE,
    ),
    ("GET", "/environments"): About(
        "Lists what each node has of the values and secrets that documents name",
        "Names alone, never what they stand for.",
        answer=items(ref("Environment")),
        answer_text="The environments",
        paged=True,
    ),
    ("GET", "/environments/{node}"): About(
        "Shows what a node has of the values and secrets that documents name", answer=ref("Environment"), refusals=ONE
    ),
    ("GET", "/topics/{topic}/subscriptions"): About(
        "Lists who listens to a topic, and how far each is",
        answer=items(ref("Listener")),
        answer_text="The listeners; `waiting` messages were never delivered",
        paged=True,
        refusals=ONE,
    ),
}
