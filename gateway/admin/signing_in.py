"""Who asks, and how people sign in, on the admin REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.admin.access import Access
from gateway.admin.bodies import only
from gateway.admin.people import PERSON
from gateway.admin.routing import Entry
from gateway.consumers.tokens import Token


def entries() -> Iterator[Entry]:
    yield Entry("/whoami", "GET", _who, "viewer")


async def _who(_request: Request, token: Token) -> Any:
    return {
        "id": token.id,
        "name": token.name,
        "by": "provider" if token.id.startswith(PERSON) else "token",
        "roles": sorted(token.roles),
        "components": None if token.components is None else sorted(token.components),
        "ends": token.ends,
    }


async def ways(request: Request, access: Access) -> Response:
    """For who has no credential yet: nothing of it is secret."""
    only(request, ())
    found = None if access.people is None else access.people.sign_in
    return JSONResponse({"openid": None if found is None else found.told()})
