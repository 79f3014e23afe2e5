"""`api-key`: the credential of an application, in a header or the query.

`{use: api-key}`, `{use: api-key, with: {header: X-Key, query: key}}`. The key is found by its keyed hash
in the directory; known and unknown ones take the same path (CASES C40). Neither it nor what a client claims to be goes
on to the backend, also where `when` skips the step (CASES H33).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core import headers
from gateway.core.clock import Clock
from gateway.core.durations import seconds
from gateway.core.errors import (
    ApplicationSuspended,
    BadRequest,
    Forbidden,
    Problem,
    StoreUnavailable,
    Unauthorized,
    Unpresented,
)
from gateway.core.exchange import After, Exchange, Head, Reply, Switch
from gateway.core.identity import Holds, Identity
from gateway.core.kinds import Built, Caller, Kind, Presented, Site
from gateway.core.secrets import KeyHasher
from gateway.policy.admit import admit
from gateway.policy.credentials.presented import query_concealer
from gateway.policy.fields import names

log: Final = logging.getLogger("gateway.auth")

LONGEST = 512  # bytes of a credential
ENDS: Final = b"X-API-Key-Ends"  # an HTTP date (RFC 9110 section 5.6.7)
SAME_TEXT = "The API key is not valid."
NOT_SUBSCRIBED: Final = ("no subscription", "of another API")

Challenge = tuple[tuple[bytes, bytes], ...]


class Key(Protocol):
    """A key as the directory knows it; `refusal` says why it does not hold now, for the log."""

    @property
    def id(self) -> str: ...
    @property
    def application(self) -> str: ...
    @property
    def api(self) -> str: ...
    @property
    def plan(self) -> str | None: ...
    @property
    def ends(self) -> float | None: ...
    def refusal(self, now: float) -> str | None: ...
    def identify(self, holds: Holds) -> Identity: ...


class KeyDirectory(Protocol):
    def find(self, digest: bytes) -> Key | None: ...

    def find_id(self, id: str) -> Key | None: ...

    def undecidable(self, now: float) -> bool:
        """The content is too old to decide by."""
        ...


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
    directory: KeyDirectory = site.services.named("directory")
    clock: Clock = site.services.named("clock")
    hasher = site.services.of(KeyHasher)
    read = credential_reader(config.header, config.query)
    query_names = frozenset({config.query.encode()} if config.query else ())
    conceal = query_concealer(query_names) if query_names else None
    forward = _forwarder(config.forward) if config.forward else None
    component = site.component  # alone: identities outlive their site
    missing = f"Send an API key in {_where(config)}."
    note_end, announce = _announcer(seconds(config.announce_end)) if config.announce_end else (None, None)
    challenge = ((b"WWW-Authenticate", f'ApiKey realm="{component}"'.encode()),)

    def holds(identity: Identity, now: float) -> bool:
        """Asked of exchanges that last; content too old to decide by ends them as it refuses new ones."""
        key = directory.find_id(identity.credential or "")
        return not directory.undecidable(now) and _refusal(key, component, now) is None

    def digest_of(head: Head) -> bytes | None:
        """Of the credential that this block holds: worked out once for a client that goes on with the same block."""
        presented = read(head)
        if presented is None:
            return None
        digest = hasher.digest(presented)
        if not query_names:
            head.memo[read] = digest
        return digest

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
        reason = _refusal(key, component, now)
        if key is None or reason is not None:
            log.info("request %s: api key refused: %s, key %s", exchange.id, reason, "-" if key is None else key.id)
            raise refused(reason, challenge)
        if conceal is not None:
            conceal(exchange)
        if forward is not None:
            forward(exchange, key)
        if note_end is not None:
            note_end(exchange, key, now)
        return admit(exchange, key.identify(holds))

    def shown(head: Head) -> Caller | None:
        """Of a credential that stands in a header; the digest is kept for the step."""
        try:
            digest = head.memo.get(read) or digest_of(head)
        except Problem:
            return None
        key = None if digest is None else directory.find(digest)
        if key is None or key.api != component:
            return None
        return Caller(key.application, getattr(key, "version", None))

    conceals = frozenset(names([*config.forward.values(), *filter(None, [config.header])]))
    presented = Presented(shown, config.header)
    return Built(
        step=authenticate,
        otherwise=conceal,
        after=announce,
        conceals=conceals,
        presented=presented,
        credentials=frozenset(names(filter(None, [config.header]))),
    )


def _where(config: ApiKey) -> str:
    places = [f"the header {config.header}" if config.header else "", config.query and f"the query as {config.query}"]
    return " or ".join(filter(None, places))


def _refusal(key: Key | None, api: str, now: float) -> str | None:
    """A short reason for the log; None: the key opens the API."""
    if key is None:
        return "unknown"
    return key.refusal(now) or (None if key.api == api else "of another API")


def refused(reason: str | None, challenge: Challenge) -> Problem:
    """Unknown, revoked and ended keys read the same, so that nobody learns which keys exist. A key that is good, but
    not for this API, is known to its owner: what is missing is the subscription."""
    if reason == "suspended":
        return ApplicationSuspended("Ask those who run this gateway why.")
    if reason in NOT_SUBSCRIBED:
        return Forbidden("The application has no subscription to this API.")
    return Unauthorized(SAME_TEXT, headers=challenge)


@lru_cache(maxsize=256)
def credential_reader(header: str | None, wanted: str | None) -> Callable[[Head], bytes | None]:
    """Exactly one credential, or none; in two places it is refused (CASES C41). The same for all steps of one
    configuration, as it is a key of `Head.memo`."""
    find = headers.finder(header.lower().encode()) if header else lambda _block: []

    def read(head: Head) -> bytes | None:
        found = find(head.block)
        if wanted is not None and head.query:
            pairs = parse_qsl(head.query.decode("ascii", "replace"), keep_blank_values=True)
            found += [value.encode() for name, value in pairs if name == wanted]
        if len(found) > 1:
            raise BadRequest("An API key stands in more than one place. Send it once.")
        if not found or not found[0]:
            return None
        if len(found[0]) > LONGEST:
            raise BadRequest(f"An API key has at most {LONGEST} bytes.")
        return found[0]

    return read


def _announcer(within: float) -> tuple[Callable[[Exchange, Key, float], None], After]:
    """What notes an end that is near, and what tells it; on refusals by later steps, too."""

    def note_end(exchange: Exchange, key: Key, now: float) -> None:
        if key.ends is not None and key.ends - now < within:
            exchange.note(announce, key.ends)

    def announce(exchange: Exchange, reply: Reply) -> None:
        ends = exchange.notes.get(announce) if exchange.notes else None
        if ends is not None:
            reply.headers.append((ENDS, formatdate(ends, usegmt=True).encode()))

    return note_end, announce


def _forwarder(fields: dict[str, str]) -> Callable[[Exchange, Key], None]:
    pairs = [(fact, name.encode()) for fact, name in fields.items()]

    def forward(exchange: Exchange, key: Key) -> None:
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
