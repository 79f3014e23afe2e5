"""The words of `/applications` and `/subscriptions` on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import (
    CHANGE,
    DELETED,
    IF_MATCH,
    IF_NONE_MATCH,
    NAME,
    NULLABLE,
    NUMBER,
    ONE,
    STRING,
    STRINGS,
    WRITE,
    About,
    Schema,
    items,
    record,
    ref,
)

_STATUS: Final[Schema] = {"enum": ["active", "suspended"]}
_ATTRIBUTES: Final[Schema] = {"type": "object", "additionalProperties": STRING}
_ABOUT: Final[dict[str, Schema]] = {
    "title": NULLABLE,
    "owner": NULLABLE,
    "contacts": {"type": ["array", "null"], "items": {"type": "string", "pattern": "[a-z]"}},
    "attributes": {
        "type": ["object", "null"],
        "propertyNames": {"pattern": "^[A-Za-z][A-Za-z0-9._-]{0,62}$"},
        "additionalProperties": STRING,
    },
    "status": {"enum": ["active", "suspended", None], "description": "suspended: nothing of it opens anything"},
}
_MERGED: Final[dict[str, Schema]] = _ABOUT | {
    "attributes": _ABOUT["attributes"] | {"additionalProperties": NULLABLE, "description": "null takes one away"}
}
_SUBSCRIBED: Final[dict[str, Schema]] = {
    "plan": NULLABLE,
    "version": NULLABLE | {"description": "the version that the application is pinned to"},
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Application": record(
        {
            "name": STRING,
            "title": STRING,
            "owner": STRING,
            "contacts": STRINGS,
            "attributes": _ATTRIBUTES,
            "status": _STATUS,
            "created": NUMBER,
        }
    ),
    "Subscription": record(
        {"application": STRING, "api": STRING, "plan": NULLABLE, "version": NULLABLE, "created": NUMBER}
    ),
}

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/applications"): About(
        "Lists applications",
        query=(
            ("status", STRING, "With this status alone: active or suspended."),
            ("owner", STRING, "Of this owner alone."),
        ),
        answer=items(ref("Application")),
        paged=True,
        answer_text="The applications",
    ),
    ("POST", "/applications"): About(
        "Creates an application",
        body=record({"name": NAME}, _ABOUT),
        statuses=(201,),
        answer=record({"id": STRING, "name": STRING}, closed=False),
        refusals=(400, 401, 403, 409, 412, 413, 415, 503),
    ),
    ("GET", "/applications/{name}"): About(
        "Shows an application", answer=ref("Application"), answer_headers=("ETag",), refusals=ONE
    ),
    ("PUT", "/applications/{name}"): About(
        "Puts an application, whole",
        "201 when there was none. What is left out gets its default: without `status` it is active.",
        headers=(IF_MATCH, IF_NONE_MATCH),
        body=record({}, _ABOUT),
        statuses=(200, 201),
        answer=ref("Application"),
        answer_headers=("ETag",),
        refusals=CHANGE,
    ),
    ("PATCH", "/applications/{name}"): About(
        "Changes what is named of an application",
        "Suspending it closes everything that is its own within a second, on every node; activating opens it again.",
        headers=(IF_MATCH,),
        body=record({}, _MERGED),
        answer=ref("Application"),
        answer_headers=("ETag",),
        refusals=CHANGE,
    ),
    ("DELETE", "/applications/{name}"): About(
        "Deletes an application with its subscriptions, keys and credentials",
        headers=(IF_MATCH,),
        answer=DELETED,
        refusals=(*ONE, 412),
    ),
    ("GET", "/subscriptions"): About(
        "Lists subscriptions",
        query=(
            ("application", STRING, "Of this application alone."),
            ("api", STRING, "Of this API alone."),
            ("plan", STRING, "On this plan alone."),
        ),
        answer=items(ref("Subscription")),
        paged=True,
        answer_text="The subscriptions",
    ),
    ("POST", "/subscriptions"): About(
        "Subscribes an application to an API, or makes its subscription be like that",
        "Refused for an API, or a pinned version, that is deprecated or retired, unless there is a subscription.",
        role="operator",
        body=record({"application": STRING, "api": STRING}, _SUBSCRIBED),
        statuses=(201,),
        answer=record({"application": STRING, "api": STRING}, {"plan": STRING, "version": STRING}),
        refusals=(*WRITE, 412),
    ),
    ("GET", "/subscriptions/{application}/{api}"): About(
        "Shows a subscription",
        role="viewer",
        answer=ref("Subscription"),
        answer_headers=("ETag",),
        refusals=ONE,
    ),
    ("PATCH", "/subscriptions/{application}/{api}"): About(
        "Moves a subscription to another plan or version, with its keys",
        "In effect at once, on every worker. null takes the plan or the pin away.",
        role="operator",
        headers=(IF_MATCH,),
        body=record({}, _SUBSCRIBED),
        answer=ref("Subscription"),
        answer_headers=("ETag",),
        refusals=CHANGE,
    ),
    ("DELETE", "/subscriptions/{application}/{api}"): About(
        "Ends a subscription; its keys open nothing",
        role="operator",
        headers=(IF_MATCH,),
        answer=DELETED,
        refusals=(*ONE, 412),
    ),
}
