"""The vocabulary in which the admin REST is described: what is said of an operation, and the shapes that several share.

`described_…` have the words of the operations, `described_all` all of them; `describe` writes them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]

INTRODUCTION: Final = (
    "Documents in, state out. Every call shows a bearer token, except a probe of /health and the question of /sign-in. "
    "A token that is bound to API components sees and changes those alone. Refusals and failures are problem details "
    "(RFC 9457); `errors` lists everything that is wrong with a document, each with its place. A write is one commit "
    "with its audit entry."
)

DOCUMENT_MEDIA: Final = ("application/yaml", "application/x-yaml", "text/yaml", "application/json")
PACKED: Final = "application/vnd.penstock.documents+json"
READ: Final = (401, 403, 503)
ONE: Final = (401, 403, 404, 503)
WRITE: Final = (400, 401, 403, 404, 409, 413, 415, 503)
CHANGE: Final = (400, 401, 403, 404, 409, 412, 413, 415, 422, 503)


@dataclass(frozen=True, slots=True)
class About:
    """`query`: (name, schema, text); a text that begins with Required says so. `role`: where the route names none."""

    summary: str = ""
    text: str = ""
    role: str = ""
    query: tuple[tuple[str, Schema, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: Schema | None = None
    body_required: bool = True
    media: tuple[str, ...] = ("application/json",)
    statuses: tuple[int, ...] = (200,)
    answer: Schema | None = None
    answer_text: str = "Done"
    answer_media: str = "application/json"
    answer_headers: tuple[str, ...] = ()
    refusals: tuple[int, ...] = READ
    paged: bool = False


STRING: Final[Schema] = {"type": "string"}
NAME: Final[Schema] = {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,62}$"}
NULLABLE: Final[Schema] = {"type": ["string", "null"]}
MOMENT: Final[Schema] = {"type": ["number", "null"], "description": "seconds since 1970"}
DATE: Final[Schema] = {
    "type": ["string", "null"],
    "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?Z)?$",
    "description": "a date or a time, as in 2027-01-31 or 2027-01-31T12:00Z",
}
BOOLEAN: Final[Schema] = {"type": "boolean"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
ANY: Final[Schema] = {"type": "object"}
STRINGS: Final[Schema] = {"type": "array", "items": STRING}
NUMBERS: Final[Schema] = {"type": ["integer", "null"]}


def record(required: dict[str, Schema], more: dict[str, Schema] | None = None, closed: bool = True) -> Schema:
    found: Schema = {"type": "object", "properties": {**required, **(more or {})}, "required": list(required)}
    return found | ({"additionalProperties": False} if closed else {})


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def items(of: Schema) -> Schema:
    return record({"items": {"type": "array", "items": of}})


PUBLISHED: Final[dict[str, Schema]] = {"sequence": COUNT, "live": STRINGS}
SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": record(
        {"type": STRING, "title": STRING, "status": COUNT, "code": STRING, "id": STRING, "instance": STRING},
        {
            "detail": STRING,
            "target": STRING,
            "errors": {
                "type": "array",
                "items": record({"target": STRING, "code": STRING, "message": STRING}),
            },
        },
        closed=False,
    ),
}

FLAGS: Final = tuple(
    (name, BOOLEAN, text)
    for name, text in (
        ("dry_run", "Tells what would happen, and changes nothing."),
        ("force", "Even if consumers would notice."),
        ("no_activate", "Stores the revisions, and serves the old ones."),
    )
)
SHARE: Final[Schema] = {"type": "string", "pattern": "^(100|[0-9]{1,2}(\\.[0-9]{1,4})?)%?$"}
IF_MATCH: Final = ("If-Match", "The ETag that the record must have; `*` for any.")
IF_NONE_MATCH: Final = ("If-None-Match", "`*`: only when there is none.")
DOCUMENT: Final[Schema] = {"description": "A document; its JSON Schema stands beside this file.", "type": "object"}
EXPIRING: Final[tuple[str, Schema, str]] = (
    "expiring",
    {"type": "string", "pattern": "^[1-9][0-9]{0,5}(ms|s|m|h|d)$"},
    "Those that end within this time, such as 30d.",
)
REVOKED: Final = record({"revoked": STRING})
DELETED: Final = record({"deleted": STRING})


def listed(what: str, of: Schema, **more: Any) -> About:
    return About(f"Lists {what}", answer=items(of), answer_text=f"The {what}", paged=True, **more)
