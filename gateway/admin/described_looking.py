"""The words of health, metrics, the snapshot, nodes, policy kinds and the audit on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import (
    ANY,
    BOOLEAN,
    COUNT,
    DATE,
    NULLABLE,
    NUMBER,
    ONE,
    STRING,
    About,
    Schema,
    listed,
    record,
    ref,
)

_KIND: Final = record(
    {
        "name": STRING,
        "family": STRING,
        "stage": STRING,
        "reply_stage": STRING,
        "protects": BOOLEAN,
        "summary": STRING,
        "example": ANY,
        "config": ANY | {"description": "JSON Schema of a step's `with`"},
    }
)
_NODE: Final = record({"name": STRING}, closed=False)

SCHEMAS: Final[dict[str, Schema]] = {
    "Health": record({"ready": BOOLEAN, "store": STRING}, closed=False),
}

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/health"): About(
        "Tells whether this node is ready",
        "Without a token, no more than that. 503 while nothing can be served.",
        statuses=(200, 503),
        answer=ref("Health"),
        refusals=(401, 403),
    ),
    ("GET", "/metrics"): About(
        "Counters of this node for Prometheus", answer=STRING, answer_media="text/plain", answer_text="Text format"
    ),
    ("POST", "/explain"): About(
        "What would happen to a request",
        body=record(
            {"method": STRING, "url": STRING},
            {
                "headers": {"type": ["object", "null"], "additionalProperties": STRING},
                "plan": NULLABLE | {"description": "of the caller"},
                "application": {"type": ["string", "null"], "description": "who calls; keys are not read here"},
            },
        ),
        answer=ANY,
        answer_text="Candidates, version, every step, the backend",
        refusals=(400, 401, 403, 413, 415, 503),
    ),
    ("GET", "/snapshot"): About(
        "The compiled snapshot that serves", answer=ANY, answer_text="The snapshot", answer_headers=("ETag",)
    ),
    ("GET", "/policy-kinds"): listed("policy kinds", _KIND, query=(("family", STRING, "Of this family alone."),)),
    ("GET", "/policy-kinds/{name}"): About("Shows a policy kind", answer=_KIND, refusals=ONE),
    ("GET", "/nodes"): listed("live nodes", _NODE),
    ("GET", "/nodes/{name}"): About("Shows a live node: its last heartbeat", answer=_NODE, refusals=ONE),
    ("GET", "/audit"): listed(
        "audit entries, newest first",
        record({"sequence": COUNT, "at": NUMBER}, closed=False),
        query=(
            ("actor", STRING, "Of what this token did."),
            ("action", STRING, "Of this action alone, such as key.revoke."),
            ("subject", STRING, "About this, such as shop@v2."),
            ("since", DATE, "From this date or time on."),
            ("until", DATE, "Before this date or time."),
        ),
    ),
}
