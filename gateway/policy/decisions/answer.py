"""What a decision service answers: `{"allow": true, "reason": "…", "headers": {"X-Tenant": "eu"}}`, all optional.

Strict, as it opens doors: JSON that is not understood, a word that is not known, a header that the step does not let it
set, a value that could break the message: no decision.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.core import headers
from gateway.relay.outside import DependencyFailed
from gateway.relay.upstream import Fetched

log: Final = logging.getLogger("gateway.authorisation")

LONGEST_REASON: Final = 500  # characters
_KNOWN: Final = {"allow", "reason", "headers"}


@dataclass(frozen=True, slots=True)
class Decision:
    """`add` are request header fields for the backend, as a block; `challenges` go with a 401."""

    allowed: bool
    status: int = 200
    reason: str = ""
    add: bytes = b""
    challenges: tuple[bytes, ...] = ()


def read_answer(answer: Fetched, add: frozenset[bytes]) -> Decision:
    """DependencyFailed for what is no decision."""
    try:
        return _decision(answer, add)
    except ValueError as error:
        log.warning("a decision service answered what is no decision: %s", error)
        later = [(b"Retry-After", b"1")]
        raise DependencyFailed("Whether the request is allowed could not be told.", headers=later) from None


def _decision(answer: Fetched, add: frozenset[bytes]) -> Decision:
    """ValueError says why it is none."""
    said = _said(answer)
    allow, reason = said.get("allow"), _reason(said)
    if "allow" in said and not isinstance(allow, bool):
        raise ValueError("`allow` is true or false")
    if 200 <= answer.status < 300:
        return Decision(False, 403, reason) if allow is False else Decision(True, add=_added(said, add))
    if answer.status in {401, 403} and not allow:
        challenges = tuple(value for name, value in answer.fields if name == b"www-authenticate")
        return Decision(False, answer.status, reason, challenges=challenges)
    raise ValueError(f"its status is {answer.status}")


def _said(answer: Fetched) -> dict[str, Any]:
    """The members of a JSON answer; a body of another type says nothing."""
    kind = (answer.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if not answer.body:
        return {}
    if not (kind == b"application/json" or kind.endswith(b"+json")):
        if answer.body.lstrip()[:1] == b"{":  # it may say no
            raise ValueError("it looks like JSON, and its Content-Type does not say so")
        return {}
    said = orjson.loads(answer.body)
    if not isinstance(said, dict):
        raise ValueError("its JSON is no object")
    if kind == b"application/problem+json":  # RFC 9457
        return {"reason": said.get("detail") or said.get("title") or ""}
    if unknown := sorted(said.keys() - _KNOWN):
        raise ValueError(f"it says {unknown[0][:50]!r}, which is not known")
    return said


def _reason(said: dict[str, Any]) -> str:
    reason = said.get("reason", "")
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise ValueError("`reason` is a printable text of at most 500 characters")
    return reason


def _added(said: dict[str, Any], add: frozenset[bytes]) -> bytes:
    fields = said.get("headers", {})
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise ValueError("`headers` maps names to texts")
    block = b""
    for name, value in fields.items():
        raw = name.encode()
        if raw.lower() not in add:
            raise ValueError(f"it sets the header {name[:50]!r}, which the step does not list under `add`")
        block += headers.line(raw, value.encode("latin-1", "strict"))
    return block
