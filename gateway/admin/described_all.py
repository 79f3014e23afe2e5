"""Every operation of the admin REST with what is said of it; what all of a sort have in common is added here.

Requests are held to it: a parameter that is not described is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gateway.admin import (
    described,
    described_applications,
    described_backups,
    described_credentials,
    described_examining,
    described_history,
    described_keys,
    described_looking,
    described_runtimes,
    described_signing_in,
    described_signing_keys,
    described_standing,
    described_stored,
    described_traffic,
    described_usage,
    described_versions,
)
from gateway.admin.described import FLAGS, IF_MATCH, IF_NONE_MATCH, About, Schema

LIMIT: Final = (
    ("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "How many on a page; default 100."),
    ("cursor", {"type": "string"}, "Of a Link with rel=next: where its page begins."),
)
CONDITIONAL: Final = {"PUT", "PATCH", "DELETE"}
READING: Final = {("POST", "/explain")}


def _whole(method: str, path: str, about: About) -> About:
    """Pages, conditions, trials, and the refusals that come with them."""
    query, headers, refusals, answers = about.query, about.headers, {*about.refusals}, about.answer_headers
    if path != "/health":
        refusals |= {400}
    if path != "/sign-in":
        refusals |= {429}
    if about.paged:
        query, answers = (*query, *LIMIT), (*answers, "Link")
    if method != "GET" and (method, path) not in READING and "dry_run" not in {name for name, _, _ in query}:
        query = (*query, FLAGS[0])
    if method in CONDITIONAL:
        headers = (*dict.fromkeys((*headers, IF_MATCH, *((IF_NONE_MATCH,) if method == "PUT" else ()))),)
        refusals |= {412, 428}
    return replace(about, query=query, headers=headers, refusals=tuple(sorted(refusals)), answer_headers=answers)


_SAID: Final[Mapping[tuple[str, str], About]] = {
    **described_versions.DESCRIBED,
    **described_standing.DESCRIBED,
    **described_stored.DESCRIBED,
    **described_keys.DESCRIBED,
    **described_looking.DESCRIBED,
    **described_traffic.DESCRIBED,
    **described_applications.DESCRIBED,
    **described_backups.DESCRIBED,
    **described_credentials.DESCRIBED,
    **described_examining.DESCRIBED,
    **described_history.DESCRIBED,
    **described_runtimes.DESCRIBED,
    **described_signing_in.DESCRIBED,
    **described_signing_keys.DESCRIBED,
    **described_usage.DESCRIBED,
}
DESCRIBED: Final = {(method, path): _whole(method, path, about) for (method, path), about in _SAID.items()}
SCHEMAS: Final[dict[str, Schema]] = {
    **described.SCHEMAS,
    **described_versions.SCHEMAS,
    **described_stored.SCHEMAS,
    **described_keys.SCHEMAS,
    **described_looking.SCHEMAS,
    **described_applications.SCHEMAS,
    **described_backups.SCHEMAS,
    **described_credentials.SCHEMAS,
    **described_history.SCHEMAS,
    **described_runtimes.SCHEMAS,
    **described_signing_in.SCHEMAS,
    **described_signing_keys.SCHEMAS,
    **described_usage.SCHEMAS,
}
