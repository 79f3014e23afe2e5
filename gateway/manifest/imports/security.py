"""Security schemes of an OpenAPI document as policies: what can be mapped is; the rest stands as a comment.

A document says what the service asks of its callers. Here it is what the gateway asks, so that nothing is open; what
the service itself wants from the gateway is for the one who imports to add."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.manifest.imports.draft import Draft

_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OWNED: Final = frozenset(("authorization", "cookie", "host", "content-type", "content-length", "connection"))


def policies(schemes: Any, required: Any, draft: Draft) -> None:
    """The first scheme of an API key becomes the step `keys`; others are suggested above it."""
    named = schemes if isinstance(schemes, dict) else {}
    for name, scheme in named.items():
        if isinstance(scheme, dict):
            _one(str(name), scheme, draft)
    draft.protect()
    if named:
        draft.comment(
            "policies", text="The service may want credentials of its own: send them by an operation's headers."
        )
        draft.note("security", "what the service asks of the gateway itself is not configured; see the comments")
    elif not required:
        draft.note("security", "the document names no security: the gateway's own keys are asked for")


def _one(name: str, scheme: dict[str, Any], draft: Draft) -> None:
    kind, place = scheme.get("type"), f"#/components/securitySchemes/{name}"
    if kind == "apiKey" and _key(scheme, draft):
        return
    if kind == "http" and str(scheme.get("scheme")).lower() == "bearer":
        text = "{id: tokens, use: jwt, with: {issuer: ISSUER, audience: AUDIENCE}}"
    elif kind == "http" and str(scheme.get("scheme")).lower() == "basic":
        text = "{id: passwords, use: basic}"
    elif kind == "openIdConnect":
        url = str(scheme.get("openIdConnectUrl") or "ISSUER").removesuffix("/.well-known/openid-configuration")
        text = f"{{id: tokens, use: jwt, with: {{issuer: {url!r}, audience: AUDIENCE}}}}"
    elif kind == "oauth2":
        text = "{id: tokens, use: jwt, with: {issuer: ISSUER, audience: AUDIENCE}}, and {use: scopes} for what is asked"
    elif kind == "mutualTLS":
        text = "{id: certificates, use: client-certificate}"
    else:
        draft.note(place, f"no policy is suggested for {kind!r}")
        return
    draft.comment("policies", text=f"{name}: in place of the keys write - {text}")
    draft.note(place, "suggested as a comment above policies")


def _key(scheme: dict[str, Any], draft: Draft) -> bool:
    """False: one key is mapped already, or it is where none is looked for."""
    name, where = str(scheme.get("name") or ""), scheme.get("in")
    if draft.policies or where not in ("header", "query") or not name:
        return False
    if where == "header" and (not _FIELD.fullmatch(name) or name.lower() in _OWNED):
        return False
    place = {"header": name} if where == "header" else {"header": None, "query": name}
    draft.policies.append({"id": "keys", "use": "api-key", "with": place})
    return True
