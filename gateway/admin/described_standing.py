"""The words of `/versions/{name}/lifecycle` and `/canary` on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import ANY, CHANGE, DATE, NULLABLE, PUBLISHED, SHARE, STRING, About, record

_CHANGED: Final = record({"name": STRING, **PUBLISHED})

DESCRIBED: Final[dict[tuple[str, str], About]] = {
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
        "The manifest's own life cycle holds again", role="publisher", answer=_CHANGED, refusals=CHANGE
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
        answer=_CHANGED,
        refusals=CHANGE,
    ),
    ("DELETE", "/versions/{name}/canary"): About(
        "Ends a canary: everybody gets the active revision", role="publisher", answer=_CHANGED, refusals=CHANGE
    ),
    ("POST", "/versions/{name}/canary/promote"): About(
        "Makes a canary the active revision", role="publisher", answer=_CHANGED, refusals=CHANGE
    ),
}
