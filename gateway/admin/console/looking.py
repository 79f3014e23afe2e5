"""Pages that explain a request, and that tell who changed what."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import Response

from gateway.admin.console.inside import RestRefused
from gateway.admin.console.visit import Page, Visit

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
LOOKED: Final = 10  # pages of the audit that one filter looks through


async def explain(visit: Visit) -> Response:
    """By GET, so that a link to it can be sent on: it reads and changes nothing."""
    asked = {name: visit.asked(name) for name in ("method", "url", "plan", "application", "headers")}
    found, problem = None, None
    if asked["url"]:
        body: dict[str, Any] = {"method": asked["method"] or "GET", "url": asked["url"]}
        body |= {name: asked[name] for name in ("plan", "application") if asked[name]}
        pairs = (line.partition(":") for line in asked["headers"].splitlines() if line.strip())
        body["headers"] = {name.strip().lower(): text.strip() for name, _, text in pairs}
        try:
            found = (await visit.send("POST", "explain", body=body)).value
        except RestRefused as error:
            problem = error.problem
    return visit.page("explain.html", asked=asked, methods=METHODS, found=found, problem=problem)


async def audit(visit: Visit) -> Response:
    """Newest first. A filter looks through a thousand entries and says how far it came."""
    wanted = {name: text for name in ("actor", "action", "subject") if (text := visit.asked(name))}
    query = {"limit": "100"} | ({"before": before} if (before := visit.asked("before")).isdecimal() else {})
    found: list[dict[str, Any]] = []
    last = ""
    for _ in range(LOOKED if wanted else 1):
        entries = (await visit.get("audit", query=query)).items
        found += [each for each in entries if _fits(each, wanted)]
        last = str(entries[-1]["sequence"]) if len(entries) == 100 else ""
        if not last:
            break
        query["before"] = last
    for each in found:
        about = {key: part for key, part in each.items() if key not in {"actor", "action", "subject", "sequence", "at"}}
        each["about"] = json.dumps(about, ensure_ascii=False, default=str) if about else ""
    return visit.page("audit.html", entries=found, wanted=wanted, last=last)


def _fits(entry: dict[str, Any], wanted: dict[str, str]) -> bool:
    return all(text.lower() in str(entry.get(name, "")).lower() for name, text in wanted.items())


PAGES: Final[tuple[tuple[str, str, Page], ...]] = (("/explain", "GET", explain), ("/audit", "GET", audit))
