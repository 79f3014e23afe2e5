"""Who calls: what an authentication step puts on the exchange and every later step reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Holds = Callable[["Identity", float], bool]


@dataclass(frozen=True, slots=True)
class Identity:
    """`method` is how it was proved (`api-key`, `anonymous`, …); `subject` is stable and safe to log.

    `scopes` are what the credential was granted (RFC 6749 section 3.3), `roles` what its subject is (RFC 9068 section
    2.2.3.1), `claims` all that it says, JSON as it came.

    `holds(identity, now)` (seconds since 1970) tells whether it would still be proved: by what is known of its
    `credential` now (revoked, ended, no longer subscribed), or by a `claims["exp"]`. An exchange that lasts asks it
    again and again, and ends when it holds no more; others never ask. One function for all identities of a step, made
    with the step, so that a request pays nothing for it. None: it holds for ever."""

    subject: str
    method: str
    application: str | None = None
    plan: str | None = None
    credential: str | None = None  # the id of the key or token, never the secret
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    holds: Holds | None = field(default=None, compare=False, repr=False)

    def told(self) -> dict[str, Any]:
        """As JSON, for expressions and for those who are asked; without the claims, which each of them chooses."""
        return {
            "subject": self.subject,
            "method": self.method,
            "application": self.application,
            "plan": self.plan,
            "credential": self.credential,
            "scopes": sorted(self.scopes),
            "roles": sorted(self.roles),
        }


ANONYMOUS = Identity(subject="anonymous", method="anonymous")
