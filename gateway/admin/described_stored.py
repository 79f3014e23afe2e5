"""The words of `/policies`, `/plans` and `/topics` on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import (
    CHANGE,
    DOCUMENT,
    DOCUMENT_MEDIA,
    FLAGS,
    IF_MATCH,
    IF_NONE_MATCH,
    ONE,
    STRING,
    About,
    Schema,
    listed,
    record,
    ref,
)


def _stored(table: str, one: str) -> dict[tuple[str, str], About]:
    path = f"/{table}/{{name}}"
    return {
        ("GET", f"/{table}"): listed(
            table, ref("Stored"), query=(("prefix", STRING, "Those whose names begin with this."),)
        ),
        ("GET", path): About(
            f"Shows a {one}", answer=ref("Stored"), answer_text="As stored", answer_headers=("ETag",), refusals=ONE
        ),
        ("PUT", path): About(
            f"Puts a {one}, whole",
            "201 when there was none.",
            query=FLAGS[:1],
            headers=(IF_MATCH, IF_NONE_MATCH),
            body=DOCUMENT,
            media=DOCUMENT_MEDIA,
            statuses=(200, 201),
            answer=ref("Applied"),
            answer_text="What changed, and which nodes serve it",
            answer_headers=("ETag",),
            refusals=CHANGE,
        ),
        ("DELETE", path): About(
            f"Deletes a {one} that nothing uses",
            headers=(IF_MATCH,),
            answer=ref("Removed"),
            refusals=(401, 403, 404, 409, 412, 422, 503),
        ),
    }


SCHEMAS: Final[dict[str, Schema]] = {
    "Stored": record({"name": STRING}, closed=False),
}

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    **_stored("policies", "policy"),
    **_stored("plans", "plan"),
    **_stored("topics", "topic"),
}
