"""The words of `/keys` and `/tokens` on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import (
    DATE,
    EXPIRING,
    MOMENT,
    NULLABLE,
    NUMBER,
    ONE,
    REVOKED,
    STRING,
    STRINGS,
    WRITE,
    About,
    Schema,
    listed,
    record,
    ref,
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Key": record(
        {
            "id": STRING,
            "application": STRING,
            "api": STRING,
            "plan": NULLABLE,
            "starts": MOMENT,
            "ends": MOMENT,
            "revoked": MOMENT,
            "created": NUMBER,
        },
        {"replaces": STRING},
    ),
    "Token": record(
        {
            "id": STRING,
            "name": STRING,
            "roles": STRINGS,
            "components": {"type": ["array", "null"], "items": STRING},
            "ends": MOMENT,
            "created": NUMBER,
            "revoked": MOMENT,
        },
        {"setting": STRING},
    ),
}

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/keys"): listed(
        "keys, without their secrets",
        ref("Key"),
        query=(
            ("application", STRING, "Of this application alone."),
            ("api", STRING, "Of this API alone."),
            ("plan", STRING, "On this plan alone."),
            EXPIRING,
        ),
    ),
    ("GET", "/keys/{id}"): About(
        "Shows a key, without its secret",
        answer=ref("Key"),
        answer_text="The key",
        answer_headers=("ETag",),
        refusals=ONE,
    ),
    ("POST", "/keys"): About(
        "Creates a key; it is shown in this answer and never again",
        role="operator",
        body=record({"application": STRING, "api": STRING}, {"plan": NULLABLE, "starts": DATE, "ends": DATE}),
        statuses=(201,),
        answer=record({"id": STRING, "key": STRING}, closed=False),
        refusals=WRITE,
    ),
    ("POST", "/keys/{id}/rotate"): About(
        "Makes a successor; both hold during the overlap",
        role="operator",
        body=record({}, {"overlap": {"type": ["integer", "null"], "minimum": 0, "maximum": 10**9}, "ends": DATE}),
        body_required=False,
        statuses=(201,),
        answer=record({"id": STRING, "key": STRING, "replaces": STRING}),
        refusals=(*WRITE, 412),
    ),
    ("DELETE", "/keys/{id}"): About(
        "Ends a key at once, on every node", role="operator", answer=REVOKED, refusals=(*ONE, 412)
    ),
    ("GET", "/tokens"): listed(
        "admin tokens, without their secrets",
        ref("Token"),
        query=(("name", STRING, "Of this name alone."), ("role", STRING, "With this role.")),
    ),
    ("GET", "/tokens/{id}"): About(
        "Shows an admin token, without its secret",
        answer=ref("Token"),
        answer_text="The token",
        answer_headers=("ETag",),
        refusals=ONE,
    ),
    ("POST", "/tokens"): About(
        "Creates an admin token; it is shown in this answer and never again",
        body=record(
            {
                "name": {"type": "string", "pattern": "[a-z]"},
                "roles": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"enum": ["viewer", "publisher", "policy-editor", "operator", "admin"]},
                },
            },
            {"components": {"type": ["array", "null"], "items": STRING}, "ends": DATE},
        ),
        statuses=(201,),
        answer=record({"id": STRING, "token": STRING, "name": STRING, "roles": STRINGS}),
        refusals=(400, 401, 403, 409, 413, 415, 503),
    ),
    ("DELETE", "/tokens/{id}"): About("Ends an admin token at once", answer=REVOKED, refusals=(*ONE, 412)),
}
