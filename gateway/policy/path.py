"""`path`: the path that a relay's upstream gets, written anew.

`{use: path, with: {to: "/v2/{id}/lines"}}`. The template may hold the parameters of the endpoint's route as they
came, still encoded, and `**` for the rest of a route that ends in it. The path that results obeys the rules of what
a client may send: one that an upstream could read as another path is refused (CASES P30). Typed operations have no
path of their own.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core import target
from gateway.core.errors import BadRequest
from gateway.core.exchange import Exchange, Step
from gateway.core.kinds import Built, Kind, Site
from gateway.relay.pool import compile_template
from gateway.snapshot.routes import parameters_of

LONGEST = 2_048  # bytes of a path that is written here


class Path(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str = Field(min_length=1, max_length=1_024, description="the template, such as /v2/{id}")

    @field_validator("to")
    @classmethod
    def _begins(cls, value: str) -> str:
        if not value.startswith("/"):
            raise ValueError("the path begins with /")
        return value


def build(config: Path, site: Site) -> Built:
    protocol, _, route = site.endpoint.partition(" ")
    parameters = parameters_of(route) if route.startswith("/") and protocol.isupper() else ()
    compose = compile_template(config.to, parameters)
    if not any(character in config.to for character in "{*"):
        return Built(step=_constant(config.to.encode()))

    def rewrite(exchange: Exchange) -> None:
        path = compose(exchange)
        if len(path) > LONGEST:
            raise BadRequest(f"The path for the backend may have at most {LONGEST} bytes.")
        exchange.edits.path = path  # the relay checks it

    return Built(step=rewrite)


def _constant(path: bytes) -> Step:
    try:
        target.check(path)
    except BadRequest as refused:
        raise ValueError(refused.detail) from None

    def rewrite(exchange: Exchange) -> None:
        exchange.edits.path = path

    return rewrite


KIND = Kind("path", Path, build, summary="Writes the path for the backend anew", example={"to": "/v2/orders/{id}"})
