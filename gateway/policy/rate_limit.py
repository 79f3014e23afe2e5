"""`rate-limit`: so many requests in a time, exact over all workers and nodes.

`{use: rate-limit, with: {limit: 100/1m, by: application}}`. Each limit has its counter: who declared it, its step's id,
algorithm, window and subject; never a revision, so publishing resets nobody (DESIGN 5). A refused request costs
nothing, and one that a later step refuses is given back (PROTOCOLS R6).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core.durations import seconds
from gateway.core.errors import StoreUnavailable, TooManyRequests
from gateway.core.exchange import Exchange, Reply, StepResult, Wait
from gateway.core.headers import Fields, finder, line
from gateway.core.kinds import Built, Kind, Site
from gateway.store.counters import Counters, Rule, Verdict

_LIMIT: Final = re.compile(r"(\d+)/(\d*[a-z]+)")
MOST: Final = 1_000_000_000  # what every counter holds exactly
_UNITS: Final = {"s": "1s", "m": "1m", "h": "1h", "d": "1d"}
Subject = Callable[[Exchange], str]


class ByClaim(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    claim: str


class ByHeader(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    header: str


class RateLimit(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: str = Field(description="100/1m, 10/s, 5000/1d")
    burst: int | None = Field(None, ge=1, le=MOST, description="gcra: how many at once; default: the limit")
    algorithm: Literal["gcra", "fixed"] = Field("gcra", description="evenly, or in windows from 00:00 UTC")
    by: Literal["application", "key", "ip", "endpoint"] | ByClaim | ByHeader = Field(
        "application", description="whose requests are counted; without an identity: the client's address"
    )
    on_store_loss: Literal["open", "closed"] = Field("closed", description="closed: 503 while nobody can count")
    cost: int = Field(1, ge=1)
    headers: bool = Field(True, description="RateLimit and RateLimit-Policy on replies")

    @field_validator("limit")
    @classmethod
    def _readable(cls, text: str) -> str:
        rate(text)
        return text

    @model_validator(mode="after")
    def _possible(self) -> RateLimit:
        if self.burst is not None and self.algorithm == "fixed":
            raise ValueError("`burst` belongs to gcra; remove it, or write algorithm: gcra")
        most = self.burst or rate(self.limit)[0]
        if self.cost > most:
            raise ValueError(f"a request costs {self.cost} and at most {most} fit; none would ever pass")
        if isinstance(self.by, ByHeader):
            line(self.by.header.encode("ascii", "replace"), b"")
        return self


def rate(text: str) -> tuple[int, float]:
    """`100/1m` → (100, 60.0 seconds). ValueError says how to write it."""
    match = _LIMIT.fullmatch(text)
    try:
        window = seconds(_UNITS.get(match[2], match[2])) if match else 0.0
    except ValueError:
        window = 0.0
    if match is None or int(match[1]) < 1 or not window:
        raise ValueError(f"`{text}` is no rate; write it as 100/1m, 10/s or 5000/1d; the units are ms, s, m, h, d")
    if int(match[1]) > MOST:
        raise ValueError(f"`{text}` is too many; a limit is at most {MOST} in its time")
    return int(match[1]), window


def build(config: RateLimit, site: Site) -> Built:
    counters: Counters = site.services.named("counters")
    count, window = rate(config.limit)
    rules = (Rule(config.algorithm, count, window, config.burst),)
    counter = counters.counter(f"{site.counter}:{config.algorithm}:{window:g}:", rules, config.cost)
    subject = _subject(config, site)
    name = f'"{site.step}"'.encode()
    policy = b"%b;q=%d;w=%d" % (name, count, math.ceil(window))
    policy_line = line(b"RateLimit-Policy", policy) + b"\r\nRateLimit: "
    closed, told = config.on_store_loss == "closed", config.headers

    def take(exchange: Exchange) -> StepResult:
        whose = subject(exchange)
        exchange.note(take, whose)  # kept: a later step may change who the caller is
        wait = Wait(exchange, decide)
        counter.take(whose, wait.deliver)
        return wait

    def decide(exchange: Exchange, verdict: Verdict | None) -> StepResult:
        if verdict is None:
            if closed:
                raise StoreUnavailable("The rate limit cannot be decided now.", headers=[(b"Retry-After", b"1")])
            return None
        if not verdict.allowed:
            raise _too_many(
                verdict, [(b"RateLimit-Policy", policy), (b"RateLimit", left(verdict))] if told else [], site.step
            )
        exchange.on_refusal(give_back)
        exchange.note(decide, verdict)
        return None

    def give_back(exchange: Exchange) -> None:
        assert exchange.notes is not None
        counter.give(exchange.notes[take])

    def left(verdict: Verdict) -> bytes:
        return b"%b;r=%d;t=%d" % (name, verdict.remaining, math.ceil(verdict.reset))

    def announce(exchange: Exchange, reply: Reply) -> None:
        """The fields of draft-ietf-httpapi-ratelimit-headers; nothing when the store was away."""
        verdict = exchange.notes.get(decide) if exchange.notes else None
        if verdict is not None:
            reply.block += policy_line + left(verdict)

    return Built(step=take, after=announce if told else None)


def _too_many(verdict: Verdict, fields: Fields, step: str) -> TooManyRequests:
    after = max(1, math.ceil(verdict.retry_after))
    fields = [(b"Retry-After", b"%d" % after), *fields]
    return TooManyRequests(f"The limit `{step}` is used up. Try again in {after} s.", headers=fields)


def _subject(config: RateLimit, site: Site) -> Subject:
    by = config.by
    if isinstance(by, ByClaim):
        return _by_claim(by.claim)
    if isinstance(by, ByHeader):
        return _by_header(by.header)
    if by == "ip":
        return _client
    if by == "endpoint":
        endpoint = f"endpoint:{site.component}@{site.version} {site.endpoint}"  # a gateway's limit sees them all
        return lambda _exchange: endpoint
    return _by_identity("application" if by == "application" else "credential")


def _client(exchange: Exchange) -> str:
    return f"ip:{network(exchange.head.peer.client)}"


@lru_cache(maxsize=65_536)
def network(client: str) -> str:
    """The address that is counted: IPv4 as it is, also when mapped into IPv6; of IPv6 the /64 that one site holds."""
    if ":" not in client:
        return client
    try:
        address = IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else str(ip_network((int(address), 64), strict=False))


def _by_identity(field: str) -> Subject:
    def subject(exchange: Exchange) -> str:
        identity = exchange.identity
        value = getattr(identity, field) if identity is not None else None
        return f"{field}:{value}" if value is not None else _client(exchange)

    return subject


def _by_claim(name: str) -> Subject:
    def subject(exchange: Exchange) -> str:
        value = exchange.identity.claims.get(name) if exchange.identity is not None else None
        return f"claim:{value}" if value is not None else _client(exchange)

    return subject


def _by_header(name: str) -> Subject:
    find = finder(name.lower().encode())

    def subject(exchange: Exchange) -> str:
        values = find(exchange.head.block)
        return f"header:{values[0][:200].decode('latin-1')}" if values else _client(exchange)

    return subject


KIND = Kind(
    "rate-limit",
    RateLimit,
    build,
    summary="So many requests in a time, exact over workers and nodes",
    family="traffic",
    example={"limit": "600/1m"},
)
