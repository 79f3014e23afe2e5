"""Request bodies of the admin REST: bounded, strict, and with nothing in them that is not understood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.requests import Request

from gateway.core.errors import ContentTooLarge, InvalidInput

BODY_LIMIT: Final = 8 * 1024 * 1024


async def raw_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise ContentTooLarge(f"A body has at most {BODY_LIMIT} bytes here.")
    return body


async def json_body(request: Request, fields: Mapping[str, type], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """A JSON object with these fields and no others (CASES M70)."""
    raw = await raw_body(request)
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is no JSON: {error}.") from None
    if not isinstance(body, dict):
        raise InvalidInput("The body is a JSON object.")
    if unknown := sorted(body.keys() - fields.keys()):
        raise InvalidInput(f"Unknown: {', '.join(unknown)}. It takes: {', '.join(fields)}.", target=unknown[0])
    for name in required:
        if body.get(name) is None:
            raise InvalidInput(f"`{name}` is missing.", target=name)
    for name, value in body.items():
        if value is not None and not isinstance(value, fields[name]):
            raise InvalidInput(f"`{name}` is of type {fields[name].__name__}.", target=name)
    return {name: value for name, value in body.items() if value is not None}
