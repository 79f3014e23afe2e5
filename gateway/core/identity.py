"""Who calls: what an authentication step puts on the exchange and every later step reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """`method` is how it was proved (`api-key`, `anonymous`, …); `subject` is stable and safe to log."""

    subject: str
    method: str
    application: str | None = None
    plan: str | None = None
    credential: str | None = None  # the id of the key or token, never the secret
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)


ANONYMOUS = Identity(subject="anonymous", method="anonymous")
