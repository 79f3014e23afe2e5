"""`concurrency`: at most so many calls at once, exact over all workers and nodes.

`{use: concurrency, with: {limit: 10, by: application, wait: 200ms}}`. A call holds its slot until its exchange ends,
however it ends: with the last byte of its reply, when the client leaves, with the end of a WebSocket or of an event
stream. With `wait` a call that finds none stands in a line of its worker, for that long and in that order.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.durations import seconds
from gateway.core.errors import StoreUnavailable, TooManyRequests, Unavailable
from gateway.core.exchange import Exchange, StepResult, Wait
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.limits.limiting import LOSS, OnStoreLoss
from gateway.policy.limits.subjects import WHOSE, By, subject_of
from gateway.policy.limits.waiting_line import Line

LONGEST: Final = 30.0  # seconds that a call may stand in the line
MOST: Final = 1_000_000


class Concurrency(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(ge=1, le=MOST, description="how many at once")
    by: By = Field("application", description=WHOSE)
    scope: Literal["cluster", "worker"] = Field(
        "cluster", description="worker: of each worker alone, without the store"
    )
    wait: str | None = Field(None, description="how long a call may wait for a slot, up to 30s; default: not at all")
    queue: int = Field(100, ge=1, le=10_000, description="how many may wait, of each subject in each worker")
    status: Literal[429, 503] = Field(429, description="of a refusal: the caller has too much to do, or the backend")
    on_store_loss: OnStoreLoss = Field("closed", description=LOSS)

    @field_validator("wait")
    @classmethod
    def _bounded(cls, text: str | None) -> str | None:
        if text is not None and seconds(text) > LONGEST:
            raise ValueError(f"a call may wait up to {LONGEST:g}s, not {text}; refuse it, so that it comes again")
        return text


def build(config: Concurrency, site: Site) -> Built:
    subject = subject_of(config.by, site)
    leases = site.services.named("counters").leases
    name = f"{site.counter}:concurrency:"
    lease = (leases.own if config.scope == "worker" else leases.lease)(name, config.limit)
    patience = seconds(config.wait) if config.wait is not None else 0.0
    line = Line(lease, patience, config.queue if patience else 0)
    closed, refusal = config.on_store_loss == "closed", TooManyRequests if config.status == 429 else Unavailable
    detail = f"The limit `{site.step}` is reached: at most {config.limit} at once. Try again in 1 s."

    def take(exchange: Exchange) -> StepResult:
        wait = Wait(exchange, decide)
        line.enter(subject(exchange), wait)
        return wait

    def decide(_exchange: Exchange, granted: bool | None) -> StepResult:
        if granted is None and closed:
            raise StoreUnavailable("How many run cannot be told now.", headers=[(b"Retry-After", b"1")])
        if granted is False:
            raise refusal(detail, headers=[(b"Retry-After", b"1")], limit=site.step)
        return None

    return Built(step=take)


KIND = Kind(
    "concurrency",
    Concurrency,
    build,
    summary="So many at once, exact over workers and nodes",
    family="traffic",
    example={"limit": 10_000},
    by_operation_of=lambda config: config.get("by") == "endpoint",
)
