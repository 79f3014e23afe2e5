"""What requests to the admin REST carry: bounded, strict, and with nothing in it that is not understood."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from starlette.requests import Request

from gateway.core.errors import (
    BadRequest,
    ContentTooLarge,
    InvalidInput,
    PreconditionFailed,
    PreconditionRequired,
    UnsupportedMediaType,
)

BODY_LIMIT: Final = 8 * 1024 * 1024
JSON: Final = "application/json"
_NUMBER: Final = re.compile(r"[0-9]{1,16}\Z")
_WORDS: Final = {str: "a string", bool: "true or false", int: "a whole number", list: "a list", dict: "an object"}


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def raw_body(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding.")
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT:
            raise ContentTooLarge(f"A body has at most {BODY_LIMIT} bytes here.")
        parts.append(chunk)
    return b"".join(parts)


async def json_body(
    request: Request, fields: Mapping[str, type], required: tuple[str, ...] = (), *, keep_null: bool = False
) -> dict[str, Any]:
    """A JSON object with these fields and no others (CASES M70). A member that is null counts as left out, unless
    `keep_null` says that it takes something away."""
    raw = await raw_body(request)
    if raw and media_type(request) != JSON:
        raise UnsupportedMediaType(f"Send JSON: Content-Type: {JSON}.")
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The body is no JSON: {error}.") from None
    if not isinstance(body, dict):
        raise InvalidInput("The body is a JSON object.")
    if unknown := sorted(body.keys() - fields.keys()):
        known = f"It takes: {', '.join(fields)}." if fields else "It takes nothing."
        raise InvalidInput(f"Unknown: {', '.join(unknown)}. {known}", target=unknown[0])
    for name in required:
        if body.get(name) is None:
            raise InvalidInput(f"`{name}` is missing.", target=name)
    for name, value in body.items():
        if value is not None and (not isinstance(value, fields[name]) or _is_no_number(value, fields[name])):
            raise InvalidInput(f"`{name}` is {_WORDS[fields[name]]}.", target=name)
    return {name: value for name, value in body.items() if keep_null or value is not None}


def _is_no_number(value: Any, wanted: type) -> bool:
    return wanted is int and isinstance(value, bool)


def strings(body: Mapping[str, Any], name: str) -> list[str] | None:
    """A list of strings, or None when it was left out."""
    found = body.get(name)
    if found is not None and not all(isinstance(each, str) for each in found):
        raise InvalidInput(f"`{name}` is a list of strings.", target=name)
    return found


def flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false")
    if value not in {"true", "false"}:
        raise BadRequest(f"`{name}` is true or false.", target=name)
    return value == "true"


def number(request: Request, name: str, least: int, most: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if _NUMBER.match(text) is None or not least <= int(text) <= most:
        raise BadRequest(f"`{name}` is a number from {least} to {most}.", target=name)
    return int(text)


def expected(request: Request, version: int) -> int | None:
    """The version that a write must find: that of now (0: none) when the client named it, None when any will do (`*`).
    PreconditionRequired when it named none (RFC 6585 section 3), PreconditionFailed when it named another (RFC 9110
    sections 13.1.1 and 13.1.2)."""
    if_match, if_none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if if_match is None and if_none_match is None:
        raise PreconditionRequired(
            "Say which one you have read: If-Match with its ETag, or * for any; If-None-Match: * to create only."
        )
    tags = [tag.strip() for tag in (if_match or "").split(",")]
    if if_match is not None and not (version and ("*" in tags or f'"{version}"' in tags)):
        now = f'its ETag is "{version}" now. Read it again, then write' if version else "it is not there"
        raise PreconditionFailed(f"If-Match does not hold: {now}.")
    none = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    if if_none_match is not None and version and ("*" in none or f'"{version}"' in none):
        raise PreconditionFailed(f'If-None-Match does not hold: it is there, with the ETag "{version}".')
    return None if tags == ["*"] else version


def only(request: Request, known: Collection[str]) -> None:
    """A parameter that is not understood, or comes twice, is refused: a typing error would be no filter."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            takes = f"It takes: {', '.join(sorted(known))}." if known else "It takes none."
            raise BadRequest(f"There is no parameter {name!r} here. {takes}", target=name)
        if names.count(name) > 1:
            raise BadRequest(f"`{name}` may be given once.", target=name)


def moment(body: Mapping[str, Any], name: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or time; a date means its first second in UTC."""
    text = body.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"`{name}` is a date or time such as 2027-01-31 or 2027-01-31T12:00Z.", target=name
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
