"""`api-key`: the credential of an application, in a header or the query.

`{use: api-key}`, `{use: api-key, with: {header: X-Key, query: key}}`. The key is found by its keyed hash
in the directory; known and unknown ones take the same path (CASES C40). Neither it nor what a client claims to be goes
on to the backend, also where `when` skips the step (CASES H33).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core import headers
from gateway.core.clock import Clock
from gateway.core.durations import seconds
from gateway.core.errors import Problem, StoreUnavailable, Unpresented
from gateway.core.exchange import After, Exchange, Head, Reply, Step, Switch
from gateway.core.kinds import Built, Caller, Kind, Presented, Site
from gateway.core.secrets import KeyHasher
from gateway.policy.admit import admit
from gateway.policy.credentials.api_keys import (
    Key,
    KeyDirectory,
    Read,
    credential_reader,
    digester,
    holder,
    refusal,
    refused,
)
from gateway.policy.credentials.presented import query_concealer
from gateway.policy.fields import names

log: Final = logging.getLogger("gateway.auth")

ENDS: Final = b"X-API-Key-Ends"  # an HTTP date (RFC 9110 section 5.6.7)

Entering = Callable[[Exchange, Key, float], None]  # what is done with a key that opens, and now


class ApiKey(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str | None = Field("X-API-KEY", min_length=1, description="the header field; null: not in a header")
    query: str | None = Field(None, min_length=1, description="the query parameter, where a header cannot be sent")
    announce_end: str | None = Field(
        None, description="how long before a key's end replies tell of it, as in 14d; none: never"
    )
    forward: dict[str, str] = Field(
        default_factory=dict, description="fact (application, plan, key): request header for the backend"
    )

    @model_validator(mode="after")
    def _known_facts(self) -> ApiKey:
        if unknown := sorted(self.forward.keys() - {"application", "plan", "key"}):
            raise ValueError(f"`forward` knows application, plan and key, not {', '.join(unknown)}")
        names([*self.forward.values(), *filter(None, [self.header])])
        if self.announce_end is not None:
            seconds(self.announce_end)
        if self.header is None and self.query is None:
            raise ValueError("say where the key stands: `header` or `query`")
        return self


def build(config: ApiKey, site: Site) -> Built:
    read = credential_reader(config.header, config.query)
    digest_of = digester(read, site.services.of(KeyHasher), kept=config.query is None)
    conceal = query_concealer(frozenset({config.query.encode()})) if config.query else None
    note_end, announce = _announcer(seconds(config.announce_end)) if config.announce_end else (None, None)
    forward = _forwarder(config.forward) if config.forward else None
    entering = tuple(each for each in (forward, note_end) if each is not None)
    if conceal is not None:
        entering = (lambda exchange, _key, _now: conceal(exchange), *entering)
    header = names(filter(None, [config.header]))
    return Built(
        step=_authenticator(config, site, read, digest_of, entering),
        otherwise=conceal,
        after=announce,
        conceals=frozenset((*names(config.forward.values()), *header)),
        presented=Presented(_caller(site, read, digest_of), config.header),
        credentials=frozenset(header),
    )


def _authenticator(config: ApiKey, site: Site, read: Read, digest_of: Read, entering: tuple[Entering, ...]) -> Step:
    directory: KeyDirectory = site.services.named("directory")
    clock: Clock = site.services.named("clock")
    component = site.component  # alone: identities outlive their site
    holds = holder(directory, component)
    missing = f"Send an API key in {_where(config)}."
    challenge = ((b"WWW-Authenticate", f'ApiKey realm="{component}"'.encode()),)

    def presented_digest(exchange: Exchange) -> bytes:
        digest = digest_of(exchange.head)
        if digest is None:
            raise Unpresented(missing, headers=challenge)
        return digest

    def authenticate(exchange: Exchange) -> Switch | None:
        key = directory.find(exchange.head.memo.get(read) or presented_digest(exchange))
        now = clock.time()
        if directory.undecidable(now):
            raise StoreUnavailable("The keys known here are too old to decide by.", headers=[(b"Retry-After", b"5")])
        reason = refusal(key, component, now)
        if key is None or reason is not None:
            log.info("request %s: api key refused: %s, key %s", exchange.id, reason, "-" if key is None else key.id)
            raise refused(reason, challenge)
        for each in entering:
            each(exchange, key, now)
        return admit(exchange, key.identify(holds))

    return authenticate


def _caller(site: Site, read: Read, digest_of: Read) -> Callable[[Head], Caller | None]:
    """Of a credential that stands in a header; the digest is kept for the step."""
    directory: KeyDirectory = site.services.named("directory")
    component = site.component

    def shown(head: Head) -> Caller | None:
        try:
            digest = head.memo.get(read) or digest_of(head)
        except Problem:
            return None
        key = None if digest is None else directory.find(digest)
        if key is None or key.api != component:
            return None
        return Caller(key.application, getattr(key, "version", None))

    return shown


def _where(config: ApiKey) -> str:
    places = [f"the header {config.header}" if config.header else "", config.query and f"the query as {config.query}"]
    return " or ".join(filter(None, places))


def _announcer(within: float) -> tuple[Entering, After]:
    """What notes an end that is near, and what tells it; on refusals by later steps, too."""

    def note_end(exchange: Exchange, key: Key, now: float) -> None:
        if key.ends is not None and key.ends - now < within:
            exchange.note(announce, key.ends)

    def announce(exchange: Exchange, reply: Reply) -> None:
        ends = exchange.notes.get(announce) if exchange.notes else None
        if ends is not None:
            reply.headers.append((ENDS, formatdate(ends, usegmt=True).encode()))

    return note_end, announce


def _forwarder(fields: dict[str, str]) -> Entering:
    pairs = [(fact, name.encode()) for fact, name in fields.items()]

    def forward(exchange: Exchange, key: Key, _now: float) -> None:
        for fact, name in pairs:
            value = {"application": key.application, "plan": key.plan, "key": key.id}[fact]
            if value is not None:
                exchange.edits.add += headers.line(name, value.encode("latin-1", "replace"))

    return forward


KIND = Kind(
    "api-key",
    ApiKey,
    build,
    protects=True,
    summary="Authenticates an application by its API key",
    family="authentication",
    example={"header": "X-API-KEY"},
)
