"""`upstream`: how an endpoint's, or a plan's, requests are sent to their HTTP backend.

`{use: upstream, with: {timeout: 2s, retries: 0}}`. What it does not name is as the backend says; of several steps the
inner one counts.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.durations import Duration, seconds
from gateway.core.exchange import Exchange
from gateway.core.headers import FieldName
from gateway.core.kinds import Built, Kind, Site
from gateway.core.override import Override

OUTER: Final = 256  # overrides of outer steps that are remembered


class Upstream(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout: Duration | None = Field(None, description="from the request to the response's head")
    idle_timeout: Duration | None = Field(None, description="between two pieces of the response")
    total_timeout: Duration | None = Field(None, description="for all of it, with every attempt")
    retries: int | None = Field(None, ge=0, le=10, description="attempts after the first")
    retry_on: tuple[Annotated[int, Field(ge=400, le=599)], ...] | None = Field(
        None, description="statuses for which a safe request is sent again"
    )
    retry_keyed: FieldName | None = Field(
        None, description="a request field by which the backend knows what it did: what carries it may be sent again"
    )
    circuit: Literal["respect", "ignore"] | None = Field(
        None, description="ignore: goes also where the circuit is open, and counts for none"
    )

    @model_validator(mode="after")
    def _something(self) -> Upstream:
        if not self.model_fields_set:
            raise ValueError("it overrides nothing; name a setting, or leave the step out")
        return self


def build(config: Upstream, _site: Site) -> Built:
    override = Override(
        timeout=_seconds(config.timeout),
        idle_timeout=_seconds(config.idle_timeout),
        total_timeout=_seconds(config.total_timeout),
        retries=config.retries,
        retry_on=None if config.retry_on is None else frozenset(config.retry_on),
        keyed=None if config.retry_keyed is None else config.retry_keyed.lower().encode(),
        past_circuits=None if config.circuit is None else config.circuit == "ignore",
    )

    within: dict[int, tuple[Override, Override]] = {}  # an outer step's, and what it comes to with this one's

    def leave(exchange: Exchange) -> None:
        if exchange.notes is None:
            exchange.notes = {Override: override}
            return
        outer: Override | None = exchange.notes.get(Override)
        exchange.notes[Override] = override if outer is None else joined(outer)

    def joined(outer: Override) -> Override:
        """Outer steps leave the same few overrides again and again."""
        found = within.get(id(outer))
        if found is None:
            if len(within) >= OUTER:
                within.clear()
            found = within[id(outer)] = outer, override.over(outer)
        return found[1]

    return Built(step=leave)


def _seconds(text: str | None) -> float | None:
    return None if text is None else seconds(text)


KIND = Kind(
    "upstream",
    Upstream,
    build,
    summary="Times, retries and circuits of an endpoint's own",
    family="traffic",
    copied=True,
    example={"timeout": "2s"},
)
