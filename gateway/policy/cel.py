"""`cel`: an expression that must hold. `{use: cel, with: {expression: 'identity.claims.level >= 3'}}`.

What it can ask for is told in `core/expressions.py`. It decides on the operation that runs; with `stage: call` it sees
the call's arguments, decoded. Where it does not hold: 403, also where it asks for what the request does not have. Where
it errs, gives neither true nor false, or would look at too much: 503. Neither ever lets in.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.errors import Forbidden, Undecidable
from gateway.core.exchange import Exchange
from gateway.core.kinds import Built, Kind, Site, Stage

log: Final = logging.getLogger("gateway.authorisation")


class Cel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    expression: str = Field(min_length=1, description="what must hold")
    stage: Literal["head", "call"] = Field("head", description="call: the call's `arguments` can be asked for")
    detail: str = Field("The request is not allowed.", description="what a refusal says")

    @model_validator(mode="after")
    def _compiles(self) -> Cel:
        from gateway.core.expressions import compile_expression

        compile_expression(self.expression, self.stage == "call")
        return self


def build(config: Cel, site: Site) -> Built:
    from gateway.core.expressions import Absent, Undecided, compile_expression

    holds = compile_expression(config.expression, config.stage == "call")
    where = f"{site.scope}/{site.step}"

    def check(exchange: Exchange) -> None:
        try:
            held = holds(exchange)
        except Absent as absent:
            log.info("request %s: %s refuses: %s", exchange.id, where, absent)
            held = False
        except Undecided as undecided:
            log.warning("request %s: %s cannot decide: %s", exchange.id, where, undecided)
            raise Undecidable("Whether the request is allowed could not be decided.") from undecided
        if not held:
            raise Forbidden(config.detail)

    return Built(step=check)


def _stage(config: Mapping[str, Any]) -> Stage:
    return Stage.CALL if config.get("stage") == "call" else Stage.HEAD


KIND = Kind(
    "cel",
    Cel,
    build,
    summary="An expression over request, identity, operation and arguments that must hold",
    family="authorisation",
    example={"expression": 'request.method in ["GET", "POST"] && request.path.startsWith("/")'},
    libraries=("gateway.core.expressions",),
    stage_of=_stage,
    by_operation=True,
)
