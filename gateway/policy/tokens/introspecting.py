"""Asks an authorization server about a token (RFC 7662)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from gateway.policy.tokens.client import Prover
from gateway.relay.outside import DependencyFailed, Outside
from gateway.relay.upstream import Fetched

log: Final = logging.getLogger("gateway.auth")
LIMIT: Final = 64 * 1024  # bytes of an answer

Where = Callable[[], Awaitable[str]]


def failed(url: str, reason: str) -> DependencyFailed:
    log.warning("%s cannot tell about tokens: %s", url, reason)
    return DependencyFailed("What the token is worth could not be told.", headers=[(b"Retry-After", b"1")])


def json_object(answer: Fetched, url: str) -> Mapping[str, Any]:
    """The body of a good answer. Raises DependencyFailed."""
    if answer.status != 200:
        raise failed(url, f"it answers {answer.status}")
    try:
        found = orjson.loads(answer.body)
    except ValueError:
        raise failed(url, "its answer is no JSON") from None
    if not isinstance(found, Mapping):
        raise failed(url, "its answer is no JSON object")
    return found


class Introspection:
    """`where` gives the endpoint's URL."""

    def __init__(
        self, where: Where, prover: Prover, outside: Outside, timeout: float, tls: ssl.SSLContext | None
    ) -> None:
        self._where = where
        self._prover = prover
        self._outside = outside
        self._timeout = timeout
        self._tls = tls

    async def ask(self, token: str) -> Mapping[str, Any] | None:
        """Its claims; None: it is not active. Raises DependencyFailed."""
        url = await self._where()
        fields, body = await self._prover.form(url, {"token": token, "token_type_hint": "access_token"})
        answer = await self._outside.fetch(
            "POST",
            url,
            fields=fields,
            body=body,
            timeout=self._timeout,
            limit=LIMIT,
            tls=self._tls,
            repeatable=self._prover.repeatable,
        )
        found = json_object(answer, url)
        active = found.get("active")
        if not isinstance(active, bool):
            raise failed(url, "its answer does not say `active`")
        return found if active else None
