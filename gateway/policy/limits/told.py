"""What clients are told of a limit: the members of RateLimit-Policy and RateLimit
(draft-ietf-httpapi-ratelimit-headers), and its name in a refusal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.store.counters import Rule


@dataclass(frozen=True, slots=True)
class Told:
    """One rule as people and clients are told of it. `pace`: microseconds between two calls that need not wait."""

    rule: Rule
    text: str  # `burst`
    name: bytes  # "burst"
    policy: bytes  # "burst";q=100;w=60
    pace: int | None = None


def told(rule: Rule, step: str, part: str = "", pace: int | None = None) -> Told:
    """`part` is told beside the step where that has several rules. The window of a month has no length to tell."""
    name = b'"%b"' % f"{step}-{part}".rstrip("-").encode()
    window = b"" if rule.algorithm == "month" else b";w=%d" % math.ceil(rule.seconds)
    text = f"`{step}` of the {part}" if part else f"`{step}`"
    return Told(rule, text, name, b"%b;q=%d%b" % (name, rule.limit, window), pace)


def restored(rule: Rule, remaining: int, reset: int, cost: int) -> tuple[int, int]:
    """What is left once `cost` was given back."""
    most = rule.limit if rule.burst is None else rule.burst
    remaining += cost
    if rule.algorithm == "gcra":
        return remaining, max(0, reset - math.floor(cost * rule.window * 1e6 / rule.limit))
    if rule.algorithm == "sliding" and remaining >= most:
        return most, 0
    return min(remaining, most), reset
