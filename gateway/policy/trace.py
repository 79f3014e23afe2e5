"""`trace`: has some requests traced beside those that the node's settings choose. `{use: trace, with: {rate: 0.1}}`;
with `when` those of one application, say. Without `otlp_endpoint` it does nothing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.exchange import SWITCH, Exchange, StepResult
from gateway.core.kinds import Built, Kind, Site
from gateway.telemetry.tracing import Tracer


class Tracing(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float = Field(1.0, gt=0, le=1, description="share of the requests")


def build(config: Tracing, site: Site) -> Built:
    tracer = site.services.find(Tracer)
    if tracer is None or not tracer.sampling.on:
        return Built()
    rate = config.rate

    def trace(exchange: Exchange) -> StepResult:
        """A switch has the loop go on in steps that are noted."""
        return SWITCH if tracer.trace(exchange, rate) else None

    return Built(step=trace)


KIND = Kind(
    "trace",
    Tracing,
    build,
    summary="Has requests traced, all or a share of them",
    family="traffic",
    example={"rate": 0.1},
    copied=False,
)
