"""`anonymous`: says on purpose that an endpoint is open. `{use: anonymous}`, `{use: anonymous, with: {plan: free}}`.

Behind an authenticating step that had a `when`, it lets in who was not asked; an identity that is there stays.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.exchange import Exchange, Switch
from gateway.core.identity import ANONYMOUS
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.admit import admit


class Anonymous(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: str | None = Field(None, description="a plan for callers without a key")


def build(config: Anonymous, _site: Site) -> Built:
    identity = replace(ANONYMOUS, plan=config.plan)

    def let_in(exchange: Exchange) -> Switch | None:
        return admit(exchange, identity) if exchange.identity is None else None

    return Built(step=let_in)


KIND = Kind(
    "anonymous",
    Anonymous,
    build,
    protects=True,
    summary="Says that the endpoint is open to everybody",
    family="authentication",
)
