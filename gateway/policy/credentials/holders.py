"""Who holds a credential that is named by its request (a user, a key id): listed in the step, or in the directory.

What is listed holds as long as it is listed. A credential of the directory may be revoked, ended, or of an application
without a subscription; it is asked each time, after the credential was proved, so that nobody learns which there are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.clock import Clock
from gateway.core.errors import ApplicationSuspended, Forbidden, Problem, StoreUnavailable, Unauthorized
from gateway.core.exchange import Head
from gateway.core.identity import Holds, Identity
from gateway.core.kinds import Caller, Presented, Site

log: Final = logging.getLogger("gateway.auth")
T = TypeVar("T")

NOT_SUBSCRIBED: Final = ("no subscription", "of another API")
Fields = tuple[tuple[bytes, bytes], ...]
Secrets = Callable[["Credential"], tuple[T, ...]]


class Holder(BaseModel):
    """Who calls with a credential that is listed in a step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    application: str | None = Field(None, description="the application that calls")
    plan: str | None = Field(None, description="its plan")
    scopes: frozenset[str] = Field(frozenset(), description="what it was granted")
    roles: frozenset[str] = Field(frozenset(), description="what it is")

    def identity(self, subject: str, method: str) -> Identity:
        about = (self.application, self.plan, f"{method}:{subject}", self.scopes)
        return Identity(subject, method, *about, roles=self.roles)


class Credential(Protocol):
    """One of the directory's. `secrets` are those that hold now, as its type keeps them."""

    @property
    def id(self) -> str: ...
    @property
    def context(self) -> str: ...
    @property
    def application(self) -> str: ...
    @property
    def api(self) -> str | None: ...
    def version_of(self, api: str) -> str | None: ...
    def secrets(self, now: float) -> list[Mapping[str, Any]]: ...
    def refusal(self, api: str, now: float) -> str | None: ...
    def identify(self, api: str, method: str, holds: Holds) -> Identity: ...


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """`secrets` prove the credential; `identify` says who calls once it is proved, or refuses."""

    secrets: tuple[T, ...]
    identify: Callable[[], Identity]


Find = Callable[[str], Held[T] | None]


def listed(kind: str, holders: Mapping[str, tuple[Holder, tuple[T, ...]]]) -> Find[T]:
    """Those of the step's own configuration, by name."""
    known = {name: Held(secrets, _always(holder.identity(name, kind))) for name, (holder, secrets) in holders.items()}
    return known.get


def _always(identity: Identity) -> Callable[[], Identity]:
    return lambda: identity


def of_directory(type: str, kind: str, site: Site, read: Callable[[Credential, float], tuple[T, ...]]) -> Find[T]:
    """Those of the directory. `read` makes of a credential's record what proves it."""
    directory = site.services.named("directory")
    clock: Clock = site.services.named("clock")
    component = site.component

    def holds(identity: Identity, now: float) -> bool:
        """Asked of exchanges that last."""
        found = directory.credential_id(identity.credential or "")
        return not directory.undecidable(now) and found is not None and found.refusal(component, now) is None

    def find(name: str) -> Held[T] | None:
        now = clock.time()
        if directory.undecidable(now):
            raise StoreUnavailable("The credentials known here are too old to decide by.", headers=[_LATER])
        found: Credential | None = directory.credential(type, name)
        if found is None:
            return None

        def identify() -> Identity:
            reason = found.refusal(component, now)
            if reason is not None:
                log.info("%s refused: %s, credential %s", kind, reason, found.id)
                raise _refused(reason)
            return found.identify(component, kind, holds)

        return Held(read(found, now), identify)

    return find


def shown(type: str, site: Site, name_of: Callable[[Head], str | None], field: str | None) -> Presented:
    """Whose credential of the directory a request shows, before it is proved: routing knows its pin by that."""
    directory = site.services.named("directory")
    component = site.component

    def read(head: Head) -> Caller | None:
        try:
            name = name_of(head)
        except Problem:  # the step refuses it
            return None
        found: Credential | None = None if name is None else directory.credential(type, name)
        if found is None or found.api not in (None, component):
            return None
        return Caller(found.application, found.version_of(component))

    return Presented(read, field)


_LATER: Final = (b"Retry-After", b"5")


class NotInForce(Unauthorized):
    """Proved, and no longer of use: the step says it as it says that a credential is wrong."""

    code = "unauthorized"


def _refused(reason: str) -> Forbidden | NotInForce:
    if reason == "suspended":
        return ApplicationSuspended("Ask those who run this gateway why.")
    if reason in NOT_SUBSCRIBED:
        return Forbidden("The application has no subscription to this API.")
    return NotInForce()


def either(first: Find[T], second: Find[T]) -> Find[T]:
    """What is listed comes first."""

    def find(name: str) -> Held[T] | None:
        found = first(name)
        return found if found is not None else second(name)

    return find
