"""`quota`: so much by day, week and month of the calendar, exact over all workers and nodes.

`{use: quota, with: {day: 1000, month: 20000, by: application}}`. All windows are in UTC: a day begins at 00:00, a week
with its Sunday, a month with its first day. One call of the store decides all of them; a refused request costs none.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.kinds import Built, Kind, Site
from gateway.policy.limits.configured import costed, limiting, together
from gateway.policy.limits.costs import MOST, Cost, CostFrom, dearest, names_operation
from gateway.policy.limits.limiting import FIELDS, LOSS, OnStoreLoss
from gateway.policy.limits.subjects import WHOSE, By
from gateway.policy.limits.told import told
from gateway.store.counters import Rule

_WINDOWS: Final[tuple[Literal["day", "week", "month"], ...]] = ("day", "week", "month")
_Count = Annotated[int, Field(ge=1, le=MOST)]


class Quota(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    day: _Count | None = Field(None, description="so much from 00:00 UTC")
    week: _Count | None = Field(None, description="so much from Sunday, 00:00 UTC")
    month: _Count | None = Field(None, description="so much from the first of the month, 00:00 UTC")
    by: By = Field("application", description=WHOSE)
    on_store_loss: OnStoreLoss = Field("closed", description=LOSS)
    cost: Cost = 1
    cost_from: CostFrom | None = Field(None, description="charged after the reply, over the quota, too")
    headers: bool = Field(True, description=FIELDS)

    @model_validator(mode="after")
    def _possible(self) -> Quota:
        if not self.rules:
            raise ValueError("a quota needs a `day`, a `week` or a `month`")
        if dearest(self.cost) > self.most:
            raise ValueError(f"a request costs {dearest(self.cost)} and at most {self.most} fit; none would ever pass")
        return self

    @property
    def rules(self) -> list[Rule]:
        counts = {name: getattr(self, name) for name in _WINDOWS}
        return [Rule(name, counts[name]) for name in _WINDOWS if counts[name] is not None]

    @property
    def most(self) -> int:
        """At once."""
        return min(rule.limit for rule in self.rules)


def build(config: Quota, site: Site) -> Built:
    rules = tuple(told(rule, site.step, rule.algorithm) for rule in config.rules)
    return costed(config, limiting(config, site, "quota", rules)).built()


KIND = Kind(
    "quota",
    Quota,
    build,
    summary="So much by day, week and month, exact over workers and nodes",
    family="traffic",
    example={"day": 10_000, "month": 200_000},
    together=together,
    by_operation_of=names_operation,
)
