"""What `penstock check` refuses of a draft is taken back: the typed operation is relayed, the route left out."""

from __future__ import annotations

import re

from gateway.core.findings import DocumentsRefused, Finding
from gateway.manifest.imports.draft import Draft


def repair(draft: Draft, refused: DocumentsRefused) -> bool:
    """False: nothing of the draft could be changed to make it fit."""
    changed = False
    for finding in refused.findings:
        reason = finding.message.rstrip(".")
        name = _operation(draft, finding)
        route = _route(draft, finding)
        if name is not None:
            changed |= draft.relay_instead(name, reason)
        elif route is not None:
            target = draft.rest[route]
            called = target.get("call") if isinstance(target, dict) else target
            if isinstance(called, str) and draft.relay_instead(called, reason):
                changed = True
            else:
                del draft.rest[route]
                draft.note(route, f"left out: {reason}")
                changed = True
    return changed


def relay_all(draft: Draft, reason: str) -> bool:
    """Relays every typed operation. False: there is none."""
    found = [draft.relay_instead(name, reason) for name in list(draft.operations)]
    draft.types = {} if found else draft.types
    return bool(found)


def _keys(finding: Finding) -> list[str]:
    path = finding.place.path
    if path.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    return re.split(r"\.(?![^{]*\})", path, maxsplit=2)


def _operation(draft: Draft, finding: Finding) -> str | None:
    keys = _keys(finding)
    if len(keys) > 1 and keys[0] == "operations" and keys[1] in draft.operations:
        return keys[1]
    return None


def _route(draft: Draft, finding: Finding) -> str | None:
    keys = _keys(finding)
    if len(keys) > 1 and keys[0] == "rest":
        rest = finding.place.path.removeprefix("rest.") if not finding.place.path.startswith("/") else keys[1]
        found = [route for route in draft.rest if rest == route or rest.startswith(f"{route}.")]
        return max(found, key=len, default=None)
    return None
