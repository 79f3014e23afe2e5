"""Who may do what on the admin REST: bearer tokens (RFC 6750), their roles and the components they are bound to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from gateway.admin.people import People
from gateway.consumers.tokens import Token, find_token, was_token
from gateway.core.clock import Clock
from gateway.core.errors import Forbidden, Unauthorized
from gateway.core.secrets import KeyHasher
from gateway.store.store import Store

ROLE_OF_KIND: Final = {
    "ApiComponent": "publisher",
    "Topic": "publisher",
    "Policy": "policy-editor",
    "Plan": "policy-editor",
    "Application": "operator",
    "Environment": "publisher",
}
CHALLENGE: Final = ((b"WWW-Authenticate", b'Bearer realm="penstock admin"'),)


@dataclass(frozen=True)
class Access:
    """Decides from the store each time: a revoked token stops at once. A store that is away means 503."""

    store: Store
    hasher: KeyHasher
    clock: Clock
    people: People | None = None

    async def token(self, request: Request) -> Token:
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not presented.strip():
            raise Unauthorized("Send an admin token: Authorization: Bearer TOKEN.", headers=CHALLENGE)
        shown = presented.strip()
        found = await self._found(shown)
        if found is None:
            raise Unauthorized("The admin token is unknown, revoked or has ended.", headers=CHALLENGE)
        return found

    async def _found(self, shown: str) -> Token | None:
        people = self.people
        if people is not None and shown.count(".") == 2:  # an admin token has none
            return await people.token(shown)
        found = await find_token(self.store, self.hasher, self.clock, shown)
        if found is None and people is not None and people.asker is not None:
            return None if await was_token(self.store, self.hasher, shown) else await people.opaque(shown)
        return found


def require(token: Token, role: str, component: str | None = None) -> None:
    if not token.may(role, component):
        what = f" on {component}" if component else ""
        raise Forbidden(f"The token `{token.name}` has no role `{role}`{what}.")


def require_anywhere(token: Token, role: str) -> None:
    """The role, on whatever component: for a body that is not read yet."""
    if role not in token.roles and "admin" not in token.roles:
        raise Forbidden(f"The token `{token.name}` has no role `{role}`.")


def require_kind(token: Token, kind: str, name: str) -> None:
    """What applying a document of that kind takes."""
    require(token, ROLE_OF_KIND[kind], name if kind == "ApiComponent" else None)
