"""`spike-arrest`: calls one after the other at an even pace, exact over all workers and nodes.

`{use: spike-arrest, with: {limit: 10/s, delay: 200ms}}` lets one call pass each 100 ms. One that comes too early is
refused, or with `delay` made to wait for its turn, as long as that comes soon enough. It is gcra without a burst: turns
are given by the store, so that calls of all workers stand in one line.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core.durations import seconds
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.limits.configured import limiting, together
from gateway.policy.limits.limiting import FIELDS, LOSS, OnStoreLoss
from gateway.policy.limits.subjects import WHOSE, By
from gateway.policy.limits.told import told
from gateway.policy.rate_limit import rate
from gateway.store.counters import Rule
from gateway.store.limits import compile_rules

LONGEST: Final = 10.0  # seconds that a call may be made to wait


class SpikeArrest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: str = Field(description="10/s: one each 100 ms; 30/1m: one each two seconds")
    delay: str | None = Field(None, description="how long a call may wait for its turn, up to 10s; default: not at all")
    by: By = Field("application", description=WHOSE)
    on_store_loss: OnStoreLoss = Field("closed", description=LOSS)
    headers: bool = Field(True, description=FIELDS)

    @field_validator("limit")
    @classmethod
    def _readable(cls, text: str) -> str:
        rate(text)
        return text

    @field_validator("delay")
    @classmethod
    def _bounded(cls, text: str | None) -> str | None:
        if text is not None and seconds(text) > LONGEST:
            raise ValueError(f"a call may wait up to {LONGEST:g}s, not {text}; refuse it, so that it comes again")
        return text

    @model_validator(mode="after")
    def _possible(self) -> SpikeArrest:
        compile_rules((self.rule,))
        return self

    @property
    def rule(self) -> Rule:
        count, window = rate(self.limit)
        return Rule("gcra", count, window, 1, seconds(self.delay) if self.delay is not None else 0.0)


def build(config: SpikeArrest, site: Site) -> Built:
    rule = config.rule
    pace = round(rule.window * 1e6 / rule.limit) if rule.slack else None
    return limiting(config, site, f"spike:{rule.window:g}", (told(rule, site.step, pace=pace),)).built()


KIND = Kind(
    "spike-arrest",
    SpikeArrest,
    build,
    summary="Calls at an even pace, exact over workers and nodes",
    family="traffic",
    example={"limit": "100000/s"},
    together=together,
    by_operation_of=lambda config: config.get("by") == "endpoint",
)
