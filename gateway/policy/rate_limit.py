"""`rate-limit`: so many requests in a time, exact over all workers and nodes.

`{use: rate-limit, with: {limit: 100/1m, by: application}}`. Each limit has its counter: who declared it, its step's id,
algorithm, window and subject; never a revision, so publishing resets nobody (DESIGN 5). A refused request costs
nothing, and one that a later step refuses is given back (PROTOCOLS R6).
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core.durations import seconds
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.limits.configured import costed, limiting, together
from gateway.policy.limits.costs import MOST, Cost, CostFrom, dearest, names_operation
from gateway.policy.limits.limiting import FIELDS, LOSS, OnStoreLoss
from gateway.policy.limits.subjects import WHOSE, By
from gateway.policy.limits.told import told
from gateway.store.counters import Rule
from gateway.store.limits import compile_rules

_LIMIT: Final = re.compile(r"(\d+)/(\d*[a-z]+)")
_UNITS: Final = {"s": "1s", "m": "1m", "h": "1h", "d": "1d"}


class RateLimit(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: str = Field(description="100/1m, 10/s, 5000/1d")
    burst: int | None = Field(None, ge=1, le=MOST, description="gcra: how many at once; default: the limit")
    algorithm: Literal["gcra", "fixed", "sliding"] = Field(
        "gcra", description="evenly, in windows from 00:00 UTC, or never more in any span of the time"
    )
    by: By = Field("application", description=WHOSE)
    on_store_loss: OnStoreLoss = Field("closed", description=LOSS)
    cost: Cost = 1
    cost_from: CostFrom | None = Field(None, description="charged after the reply, over the limit, too")
    headers: bool = Field(True, description=FIELDS)

    @field_validator("limit")
    @classmethod
    def _readable(cls, text: str) -> str:
        rate(text)
        return text

    @model_validator(mode="after")
    def _possible(self) -> RateLimit:
        if self.burst is not None and self.algorithm != "gcra":
            raise ValueError("`burst` belongs to gcra; remove it, or write algorithm: gcra")
        if dearest(self.cost) > self.most:
            raise ValueError(f"a request costs {dearest(self.cost)} and at most {self.most} fit; none would ever pass")
        compile_rules((self.rule,))
        return self

    @property
    def rule(self) -> Rule:
        count, window = rate(self.limit)
        return Rule(self.algorithm, count, window, self.burst)

    @property
    def most(self) -> int:
        """At once."""
        return self.burst or rate(self.limit)[0]


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
    rule = config.rule
    found = limiting(config, site, f"{rule.algorithm}:{rule.window:g}", (told(rule, site.step),))
    return costed(config, found).built()


KIND = Kind(
    "rate-limit",
    RateLimit,
    build,
    summary="So many requests in a time, exact over workers and nodes",
    family="traffic",
    example={"limit": "600/1m"},
    together=together,
    by_operation_of=names_operation,
)
