"""The words of the admin REST: per operation its summary, parameters, body and answers. `describe` writes them out."""

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


ITEM: Final = record(
    {
        "kind": STRING,
        "name": STRING,
        "action": {"enum": ["create", "update", "unchanged", "delete"]},
        "detail": STRING,
    }
)
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
    "Applied": record(
        {
            "items": {"type": "array", "items": ITEM},
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
    "Stored": record({"name": STRING}, closed=False),
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
    "Health": record({"ready": BOOLEAN, "store": STRING}, closed=False),
}

FLAGS: Final = tuple(
    (name, BOOLEAN, text)
    for name, text in (
        ("dry_run", "Tells what would happen, and changes nothing."),
        ("force", "Even if consumers would notice."),
        ("no_activate", "Stores the revisions, and serves the old ones."),
    )
)
STICKY: Final[Schema] = {"enum": ["application", "client", "request"]}
SHARE: Final[Schema] = {"type": "string", "pattern": "^(100|[0-9]{1,2}(\\.[0-9]{1,4})?)%?$"}
CANARY: Final = (
    ("canary", SHARE, "Versions become canaries beside the active revisions, for this share of who calls: 10%."),
    ("canary_header", STRING, "Requests with this header field get the canary."),
    ("canary_value", STRING, "Of that header: only with this value."),
    ("canary_applications", STRING, "These applications get the canary; with commas between them."),
    ("canary_sticky", STICKY, "Who stays with what he got; default: application."),
)
GUARD: Final = ("guard", STRING, "In place of the manifest's guard, for what this activates: errors=5%,p99=500ms.")
CHANGED: Final = record({"name": STRING, **PUBLISHED})
COMPONENT: Final = record({"name": STRING, "versions": STRINGS})
KIND: Final = record(
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
NODE: Final = record({"name": STRING}, closed=False)
CALLER: Final = record({"application": NULLABLE, "calls": COUNT, "first": STRING, "last": STRING})
MIRRORED: Final = record(
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


def _listed(what: str, of: Schema, **more: Any) -> About:
    return About(f"Lists {what}", answer=items(of), answer_text=f"The {what}", paged=True, **more)


def _stored(table: str, one: str) -> dict[tuple[str, str], About]:
    path = f"/{table}/{{name}}"
    return {
        ("GET", f"/{table}"): _listed(
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
    ("POST", "/apply"): About(
        "Applies documents: all of them or none",
        "YAML or JSON text, several documents in one, or what the command line packs. What is served changes on every "
        "live node before this answers; if one of them cannot serve it, nothing changes.",
        role="publisher (ApiComponent, Topic), policy-editor (Policy, Plan), operator (Application)",
        query=(*FLAGS, *CANARY, GUARD, ("label", STRING, "Stands for the file in places.")),
        body=DOCUMENT,
        media=(*DOCUMENT_MEDIA, PACKED),
        answer=ref("Applied"),
        answer_text="What changed, and which nodes serve it",
        refusals=CHANGE,
    ),
    ("GET", "/components"): _listed("API components", COMPONENT),
    ("GET", "/components/{name}"): About(
        "Shows an API component", role="viewer", answer=COMPONENT, answer_text="The component", refusals=ONE
    ),
    ("GET", "/versions"): _listed(
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
    ("PUT", "/versions/{name}/lifecycle"): About(
        "Sets a version's life cycle, in place of its manifest's",
        "A deprecated version announces it, and takes no new subscriptions; a retired one answers 410.",
        role="publisher",
        body=record(
            {"status": {"enum": ["published", "deprecated", "retired"]}},
            {
                "since": DATE,
                "sunset": DATE,
                "successor": NULLABLE,
                "documentation": NULLABLE,
                "sunset_acts": {"type": ["boolean", "null"]},
                "brownouts": {"type": ["array", "null"], "items": ANY},
            },
        ),
        answer=record({"name": STRING, "lifecycle": ANY, **PUBLISHED}),
        refusals=CHANGE,
    ),
    ("DELETE", "/versions/{name}/lifecycle"): About(
        "The manifest's own life cycle holds again", role="publisher", answer=CHANGED, refusals=CHANGE
    ),
    ("PUT", "/versions/{name}/canary"): About(
        "Changes who gets a version's canary",
        "What is left out stays. A canary begins by publishing with the parameter `canary`.",
        role="publisher",
        body=record(
            {},
            {
                "share": SHARE | {"type": ["string", "null"]},
                "header": NULLABLE,
                "value": NULLABLE,
                "applications": {"type": ["array", "null"], "items": STRING},
                "sticky": {"enum": ["application", "client", "request", None]},
            },
        ),
        answer=CHANGED,
        refusals=CHANGE,
    ),
    ("DELETE", "/versions/{name}/canary"): About(
        "Ends a canary: everybody gets the active revision", role="publisher", answer=CHANGED, refusals=CHANGE
    ),
    ("POST", "/versions/{name}/canary/promote"): About(
        "Makes a canary the active revision", role="publisher", answer=CHANGED, refusals=CHANGE
    ),
    ("GET", "/versions/{name}/callers"): About(
        "Who called a version, by application",
        "From real requests of the last days (UTC), today among them; the application is null where none was known.",
        role="viewer",
        query=(("days", {"type": "integer", "minimum": 1, "maximum": 400}, "How many days; default 30."),),
        answer=record({"name": STRING, "days": COUNT, "calls": COUNT, "items": {"type": "array", "items": CALLER}}),
        refusals=(400, *READ),
    ),
    ("GET", "/versions/{name}/mirror"): About(
        "What copies of a version's requests got",
        "Of the policy `mirror`, by endpoint, on all nodes since they started. `statuses` counts pairs: the original's "
        "and the copy's, as `200 500`. Times are means, to the answer's head; null where nothing was compared.",
        role="viewer",
        answer=record({"name": STRING, "items": {"type": "array", "items": MIRRORED}}),
        refusals=ONE,
    ),
    ("GET", "/revisions"): _listed(
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
    ("GET", "/policy-kinds"): _listed("policy kinds", KIND, query=(("family", STRING, "Of this family alone."),)),
    ("GET", "/policy-kinds/{name}"): About("Shows a policy kind", answer=KIND, refusals=ONE),
    ("GET", "/nodes"): _listed("live nodes", NODE),
    ("GET", "/nodes/{name}"): About("Shows a live node: its last heartbeat", answer=NODE, refusals=ONE),
    ("GET", "/audit"): _listed(
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
    **_stored("policies", "policy"),
    **_stored("plans", "plan"),
    **_stored("topics", "topic"),
    ("GET", "/keys"): _listed(
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
    ("GET", "/tokens"): _listed(
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
