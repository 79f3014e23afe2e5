"""What may be stored, how long it is fresh, and what a request accepts (RFC 9111 sections 3, 4 and 5). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum
from typing import Final

from gateway.core.headers import Fields, block, parse
from gateway.policy.caching.control import Directives, directives, moment, seconds
from gateway.policy.caching.entry import Entry, Shape

MOST_NAMES: Final = 16  # fields that one response varies by
MOST_TAGS: Final = 64
LONGEST_TAG: Final = 256
HEURISTIC_MOST: Final = 86_400.0
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_NEVER: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization proxy-authentication-info te"
    b" trailer transfer-encoding upgrade content-length age x-request-id server"
    b" ratelimit ratelimit-policy".split()  # of the one who asked, by limits behind the cache
)
# what a 304 must not change of what is stored (section 3.2), as the body stays
_OF_BODY: Final = frozenset((b"content-encoding", b"content-type", b"content-range"))


@dataclass(frozen=True, slots=True)
class Rules:
    """A step's configuration, in seconds and bytes."""

    statuses: frozenset[int]
    ttl: float | None
    heuristic: float | None
    shared: bool
    vary: tuple[bytes, ...]
    tags: tuple[str, ...]
    tag_fields: tuple[bytes, ...]
    strip_cookies: bool
    revalidate: float
    error: float


@dataclass(frozen=True, slots=True)
class Storable:
    """What is stored once its body is there; its body is still empty."""

    entry: Entry
    shape: Shape
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wants:
    """A request's own directives (section 5.2.1). Times in seconds; None: it says nothing of that."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    min_fresh: int = 0
    max_stale: float = 0.0


NOTHING: Final = Wants()


def wants(control: Sequence[bytes], pragma: Sequence[bytes]) -> Wants:
    if not control:
        return Wants(no_cache=True) if any(b"no-cache" in value.lower() for value in pragma) else NOTHING
    found = directives(control)
    stale = seconds(found, "max-stale") if found.get("max-stale") else float("inf") if "max-stale" in found else 0
    return Wants(
        "no-store" in found,
        "no-cache" in found,
        "only-if-cached" in found,
        seconds(found, "max-age"),
        seconds(found, "min-fresh") or 0,
        stale or 0.0,
    )


class State(Enum):
    FRESH = "fresh"
    WHILE = "while"  # stale, and served while it is fetched anew
    STALE = "stale"


def state(entry: Entry, now: float, asked: Wants) -> State:
    age = entry.age_at(now)
    if asked.no_cache or (asked.max_age is not None and age > asked.max_age):
        return State.STALE
    left = entry.lifetime - age
    if left > 0 and left >= asked.min_fresh:
        return State.FRESH
    if entry.strict or asked.min_fresh:
        return State.STALE
    if -left < entry.revalidate:
        return State.WHILE
    return State.FRESH if -left < asked.max_stale else State.STALE


def serves_failure(entry: Entry, now: float) -> bool:
    """stale-if-error (RFC 5861 section 4)."""
    return not entry.strict and entry.age_at(now) - entry.lifetime < entry.error


def storable(rules: Rules, status: int, fields: Fields, authorized: bool, began: float, now: float) -> Storable | None:
    """Whether a response may be stored (section 3), without its body. `authorized`: the request has an Authorization
    that the gateway did not prove itself (section 3.5). `fields` have names in lower case; `began` and `now` are
    seconds since 1970: when the request left, and when the response came."""
    found = _grouped(fields)
    control = directives(found.get(b"cache-control", ()))
    if status not in rules.statuses or "no-store" in control or "private" in control:
        return None
    if b"set-cookie" in found and not rules.strip_cookies:
        return None
    if b"event-stream" in b"".join(found.get(b"content-type", ())) or b"content-range" in found:
        return None
    public = "public" in control or "s-maxage" in control
    if authorized and rules.shared and not public:
        return None
    names = _names(rules, found)
    tags = _tags(rules, found)
    if names is None or tags is None:
        return None
    entry = _entry(rules, status, fields, found, control, began, now)
    usable = entry.lifetime + max(entry.revalidate, entry.error) > entry.age or entry.validates
    return Storable(entry, Shape(rules.shared or public, names), tags) if usable else None


def merged(entry: Entry, fields: Fields) -> Fields:
    """A stored response's fields, freshened by those of a 304 (section 4.3.4)."""
    newer = [(name, value) for name, value in fields if name not in _NEVER | _OF_BODY]
    names = {name for name, _ in newer} | {b"date"}  # without one it is dated now
    return [(name, value) for name, value in parse(entry.block) if name not in names] + newer


def _grouped(fields: Fields) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return found


def _names(rules: Rules, found: Mapping[bytes, Sequence[bytes]]) -> tuple[bytes, ...] | None:
    """What it varies by; None: by what no request can tell."""
    names = {part.strip().lower() for value in found.get(b"vary", ()) for part in value.split(b",")} - {b""}
    names |= set(rules.vary)
    if b"content-encoding" in found:
        names.add(b"accept-encoding")  # also where the backend forgot to say so
    if len(names) > MOST_NAMES or any(name == b"*" or _TOKEN.fullmatch(name) is None for name in names):
        return None
    return tuple(sorted(names))


def _tags(rules: Rules, found: Mapping[bytes, Sequence[bytes]]) -> tuple[str, ...] | None:
    """None when there are too many: what cannot be purged by all of its tags is not stored."""
    told = [
        part
        for name in rules.tag_fields
        for value in found.get(name, ())
        for part in value.decode("latin-1").replace(",", " ").split()
    ]
    tags = tuple(dict.fromkeys((*rules.tags, *told)))
    return None if len(tags) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in tags) else tags


def _entry(
    rules: Rules,
    status: int,
    fields: Fields,
    found: Mapping[bytes, Sequence[bytes]],
    control: Directives,
    began: float,
    now: float,
) -> Entry:
    date = moment(_one(found, b"date"))
    told = _one(found, b"age")
    value = int(told) if told is not None and told.isdigit() and len(told) < 12 else 0
    age = max(0.0, now - (now if date is None else date), value + max(0.0, now - began))  # section 4.2.3
    dropped = _NEVER | {b"set-cookie", b"set-cookie2"} | _named(found)
    kept = [(name, text) for name, text in fields if name not in dropped]
    if date is None:
        kept.append((b"date", _http_date(now)))
    strict = any(name in control for name in ("must-revalidate", "proxy-revalidate", "no-cache", "s-maxage"))
    lifetime = 0.0 if "no-cache" in control else _lifetime(rules, found, control, date or now)
    revalidate, error = seconds(control, "stale-while-revalidate"), seconds(control, "stale-if-error")
    return Entry(
        status,
        block(kept),
        b"",
        now,
        age,
        lifetime,
        rules.revalidate if revalidate is None else revalidate,
        rules.error if error is None else error,
        strict,
    )


def _lifetime(rules: Rules, found: Mapping[bytes, Sequence[bytes]], control: Directives, date: float) -> float:
    """Section 4.2.1; what the step says counts where the backend says nothing."""
    for name in ("s-maxage", "max-age"):
        told = seconds(control, name)
        if told is not None:
            return told
    if b"expires" in found:
        expires = moment(found[b"expires"][0]) if len(found[b"expires"]) == 1 else None
        return 0.0 if expires is None else max(0.0, expires - date)
    if rules.ttl is not None:
        return rules.ttl
    modified = moment(_one(found, b"last-modified"))
    if rules.heuristic is not None and modified is not None:
        return min(HEURISTIC_MOST, max(0.0, date - modified) * rules.heuristic)
    return 0.0


def _one(found: Mapping[bytes, Sequence[bytes]], name: bytes) -> bytes | None:
    values = found.get(name)
    return values[0] if values else None


def _named(found: Mapping[bytes, Sequence[bytes]]) -> set[bytes]:
    """Fields that Connection names: of one hop, too."""
    return {part.strip().lower() for value in found.get(b"connection", ()) for part in value.split(b",")}


def _http_date(now: float) -> bytes:
    return formatdate(now, usegmt=True).encode()
