"""The words of documents that are applied, components, versions, their revisions and differences on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import (
    ANY,
    BOOLEAN,
    CHANGE,
    COUNT,
    DOCUMENT,
    DOCUMENT_MEDIA,
    FLAGS,
    NULLABLE,
    NUMBER,
    NUMBERS,
    ONE,
    PACKED,
    PUBLISHED,
    SHARE,
    STRING,
    STRINGS,
    About,
    Schema,
    items,
    listed,
    record,
    ref,
)

_ITEM: Final = record(
    {
        "kind": STRING,
        "name": STRING,
        "action": {"enum": ["create", "update", "unchanged", "delete"]},
        "detail": STRING,
    }
)
_COMPONENT: Final = record({"name": STRING, "versions": STRINGS})
_STICKY: Final[Schema] = {"enum": ["application", "client", "request"]}
_CANARY: Final = (
    ("canary", SHARE, "Versions become canaries beside the active revisions, for this share of who calls: 10%."),
    ("canary_header", STRING, "Requests with this header field get the canary."),
    ("canary_value", STRING, "Of that header: only with this value."),
    ("canary_applications", STRING, "These applications get the canary; with commas between them."),
    ("canary_sticky", _STICKY, "Who stays with what he got; default: application."),
)
_GUARD: Final = ("guard", STRING, "In place of the manifest's guard, for what this activates: errors=5%,p99=500ms.")

SCHEMAS: Final[dict[str, Schema]] = {
    "Applied": record(
        {
            "items": {"type": "array", "items": _ITEM},
            "breaking": STRINGS,
            "touched": {"type": "array", "items": {"$ref": "#/components/schemas/Touched"}},
            "sequence": NUMBERS,
            "snapshot": NULLABLE,
            "live": STRINGS,
        }
    ),
    "Touched": record(
        {
            "version": STRING,
            "endpoint": STRING,
            "plan": NULLABLE | {"description": "for callers on this plan; null: for all"},
            "added": STRINGS,
            "removed": STRINGS,
            "changed": STRINGS,
            "before": STRINGS | {"description": "the ids of the chain's steps"},
            "after": STRINGS,
        }
    ),
    "Removed": record({"deleted": STRING, **PUBLISHED}),
    "Version": record(
        {
            "name": STRING,
            "revision": STRING,
            "since": NUMBER,
            "history": STRINGS,
            "pins": ANY,
            "title": STRING,
            "status": {"enum": ["draft", "published", "deprecated", "retired"]},
            "lifecycle": ANY,
            "lifecycle_from": {"enum": ["manifest", "version"]},
            "canary": {"type": ["object", "null"]},
            "base_path": NULLABLE,
            "endpoints": COUNT,
            "operations": STRINGS,
        }
    ),
    "RolledBack": record({"name": STRING, "from": STRING, "to": STRING, "pins": ANY, **PUBLISHED}),
}

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("POST", "/apply"): About(
        "Applies documents: all of them or none",
        "YAML or JSON text, several documents in one, or what the command line packs. What is served changes on every "
        "live node before this answers; if one of them cannot serve it, nothing changes.",
        role="publisher (ApiComponent, Topic), policy-editor (Policy, Plan), operator (Application)",
        query=(*FLAGS, *_CANARY, _GUARD, ("label", STRING, "Stands for the file in places.")),
        body=DOCUMENT,
        media=(*DOCUMENT_MEDIA, PACKED),
        answer=ref("Applied"),
        answer_text="What changed, and which nodes serve it",
        refusals=CHANGE,
    ),
    ("GET", "/components"): listed("API components", _COMPONENT),
    ("GET", "/components/{name}"): About(
        "Shows an API component", role="viewer", answer=_COMPONENT, answer_text="The component", refusals=ONE
    ),
    ("GET", "/versions"): listed(
        "live versions",
        ref("Version"),
        query=(
            ("component", STRING, "Of this component alone."),
            ("status", {"enum": ["published", "deprecated", "retired"]}, "With this status alone."),
        ),
    ),
    ("GET", "/versions/{name}"): About(
        "Shows a live version",
        role="viewer",
        answer=ref("Version"),
        answer_text="The version",
        answer_headers=("ETag",),
        refusals=ONE,
    ),
    ("DELETE", "/versions/{name}"): About(
        "Takes a version away", role="publisher", answer=ref("Removed"), refusals=(401, 403, 404, 409, 412, 422, 503)
    ),
    ("POST", "/versions/{name}/rollback"): About(
        "Points a version at another revision of it",
        "By default at the one before.",
        role="publisher",
        body=record({}, {"to": NULLABLE, "with_policies": {"type": ["boolean", "null"]}}),
        body_required=False,
        answer=ref("RolledBack"),
        refusals=CHANGE,
    ),
    ("GET", "/revisions"): listed(
        "revisions by version, the newest of each first",
        record({"revision": STRING, "name": STRING, "at": NUMBER, "actor": STRING, "active": BOOLEAN}),
        query=(("name", STRING, "Of this version alone."),),
    ),
    ("GET", "/revisions/{revision}"): About(
        "Shows a revision: the resolved bundle", role="viewer", answer=ANY, answer_text="The bundle", refusals=ONE
    ),
    ("GET", "/diff"): About(
        "What differs between two revisions",
        role="viewer",
        query=tuple((name, STRING, "Required: a revision, or NAME@VERSION.") for name in ("from", "to")),
        answer=items(record({"path": STRING}, closed=False)),
        answer_text="The differences",
        refusals=(400, *ONE),
    ),
    ("GET", "/changelog"): About(
        "What became different between two versions or revisions, in words, by protocol",
        role="viewer",
        query=(
            *((name, STRING, "Required: a revision, or NAME@VERSION.") for name in ("from", "to")),
            ("protocol", {"enum": ["rest", "soap", "odata"]}, "Of this protocol alone."),
        ),
        answer=items(record({"protocol": STRING, "change": STRING, "what": STRING, "place": STRING})),
        answer_text="The entries, what breaks first",
        refusals=(400, *ONE),
    ),
}
