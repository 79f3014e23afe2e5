"""What a proved token says of its caller, as an identity: which claims are subject, application, scopes, roles, plan.

A claim is named plainly (`scope`, `https://example.com/roles`) or, inside of others, by a JSON pointer
(`/realm_access/roles`, RFC 6901). Of several names the first that has a value counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.core.identity import Holds, Identity

Claims = Mapping[str, Any]
Read = Callable[[Claims], Any]

LONGEST: Final = 256  # characters of a subject, an application, a plan


def one_or_more(given: object) -> object:
    """A list, or its one text."""
    return (given,) if isinstance(given, str) else given


Several = Annotated[tuple[str, ...], BeforeValidator(one_or_more)]


class ClaimNames(BaseModel):
    """Which claims mean what. An empty list: none does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: Several = Field(("sub", "client_id", "azp"), description="who calls; required")
    application: Several = Field(("client_id", "azp"), description="the client, as an application's name")
    scopes: Several = Field(("scope", "scp"), description="what was granted: text with blanks between, or a list")
    roles: Several = Field(("roles",), description="what the subject is: text with blanks between, or a list")
    plan: Several = Field((), description="the plan, where no subscription tells it")


def reader(paths: tuple[str, ...]) -> Read:
    """A function from claims to the value at the first path that has one, or None."""
    readers = [_at(path) for path in paths]
    if len(readers) == 1:
        return readers[0]

    def read(claims: Claims) -> Any:
        for each in readers:
            value = each(claims)
            if value is not None:
                return value
        return None

    return read


def _at(path: str) -> Read:
    if not path.startswith("/"):
        return lambda claims: claims.get(path)
    keys = [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]

    def read(claims: Claims) -> Any:
        value: Any = claims
        for key in keys:
            if isinstance(value, Mapping):
                value = value.get(key)
            elif isinstance(value, list) and key.isdecimal() and len(key) < 6 and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value

    return read


def words(value: Any) -> frozenset[str]:
    """The words of a claim: a text with blanks between (RFC 6749 section 3.3), or a list of texts. What is neither has
    none: a scope that is not understood grants nothing."""
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list | tuple):
        return frozenset(each for each in value if isinstance(each, str))
    return frozenset()


Identify = Callable[[Claims, str | None], Identity]


def identifier(names: ClaimNames, method: str, holds: Holds) -> Identify:
    """A function from claims and the credential's id (safe to log) to the identity. It raises ValueError for claims
    that name nobody, or that name somebody in a way that is not understood."""
    subject_of, application_of, plan_of = reader(names.subject), reader(names.application), reader(names.plan)
    scopes_of, roles_of = reader(names.scopes), reader(names.roles)

    def identify(claims: Claims, credential: str | None) -> Identity:
        subject = _name(subject_of(claims))
        if subject is None:
            raise ValueError("its claims name no subject")
        return Identity(
            subject,
            method,
            application=_name(application_of(claims)),
            plan=_name(plan_of(claims)),
            credential=credential,
            scopes=words(scopes_of(claims)),
            roles=words(roles_of(claims)),
            claims=claims,
            holds=holds,
        )

    return identify


def _name(value: Any) -> str | None:
    """Names are written to logs and counters: bounded, and nothing in them that breaks a line."""
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
        raise ValueError("its claims name a subject, an application or a plan in a way that is not understood")
    return value
