"""A problem as RFC 9457 problem details: the one rendering of refusals and failures for REST, relays and routing."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from gateway.core.errors import REQUEST_PREFIX, TYPE_PREFIX, Problem
from gateway.core.exchange import Exchange, Reply
from gateway.frontend.frontend import add_fields
from gateway.schema.lexical import format_bytes, format_decimal, format_duration

log: Final = logging.getLogger("gateway")

MEDIA_TYPE: Final = b"application/problem+json"


def render(exchange: Exchange, problem: Problem) -> Reply:
    """The reply of a problem, whatever the client accepts: RFC 9110 section 15.5.7 leaves errors to the server.

    Members: type, title, status, detail, instance (RFC 9457 section 3.1), then code (stable, what clients switch on),
    id (the request's, which the log has too), target and errors ([{target, code, message}]) where there are any, and
    the problem's extensions, which override none of these.
    """
    if problem.status >= 500 and problem.status != 503:
        log.warning("request %s answered %d %s: %s", exchange.id, problem.status, problem.code, problem.detail)
    reply = Reply(problem.status, [(b"content-type", MEDIA_TYPE)], dump(document(exchange.id, problem)))
    add_fields(exchange, reply, problem)
    return reply


def document(request_id: str, problem: Problem) -> dict[str, Any]:
    """The members of a problem, as JSON has them."""
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.code,
        "title": problem.title,
        "status": problem.status,
    }
    if problem.detail:
        document["detail"] = problem.detail
    document |= {"instance": REQUEST_PREFIX + request_id, "code": problem.code, "id": request_id}
    if problem.target is not None:
        document["target"] = problem.target
    if problem.details:
        document["errors"] = [
            {"target": detail.target, "code": detail.code, "message": detail.message} for detail in problem.details
        ]
    reserved = ("detail", "target", "errors")
    return document | {
        key: value for key, value in problem.extensions.items() if key not in document and key not in reserved
    }


def dump(content: dict[str, Any]) -> bytes:
    """JSON text, whatever a problem holds."""
    try:
        return orjson.dumps(content, default=_plain)
    except TypeError:  # a process's own problem may hold what strict JSON has not: a lone surrogate, a huge integer
        return json.dumps(content, default=str, skipkeys=True).encode()


def _plain(value: Any) -> Any:
    """Canonical values that orjson does not know by itself."""
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bytes):
        return format_bytes(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)
