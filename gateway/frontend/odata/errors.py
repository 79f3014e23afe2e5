"""A problem as OData's error body (JSON Format 4.01, section 21)."""

from __future__ import annotations

import logging
from typing import Any, Final

import orjson

from gateway.core.errors import Problem
from gateway.core.exchange import Exchange, Reply
from gateway.frontend.frontend import add_fields

log: Final = logging.getLogger("gateway")

VERSION: Final = (b"odata-version", b"4.0")
_OWN: Final = frozenset((b"content-type", b"odata-version"))
_TYPE: Final = (b"content-type", b"application/json;odata.metadata=minimal;charset=utf-8")


def render(exchange: Exchange, problem: Problem) -> Reply:
    """`{"error": {"code", "message", "target", "details", "innererror"}}`; `innererror.id` is what the log has too."""
    if problem.status >= 500 and problem.status not in (501, 503):
        log.warning("request %s answered %d %s: %s", exchange.id, problem.status, problem.code, problem.detail)
    error: dict[str, Any] = {"code": problem.code, "message": problem.detail or problem.title}
    if problem.target is not None:
        error["target"] = problem.target
    if problem.details:
        error["details"] = [
            {"code": detail.code, "message": detail.message, "target": detail.target} for detail in problem.details
        ]
    error["innererror"] = {"id": exchange.id}
    reply = Reply(problem.status, [_TYPE, VERSION], orjson.dumps({"error": error}, default=str))
    add_fields(exchange, reply, problem, _OWN)
    return reply
