"""`jmespath`: JSON bodies replaced by what an expression makes of them.

`{use: jmespath, with: {request: {expression: "{id: order_id, total: sum(lines[].price)}"}}}`. The expression is
compiled when it is published. Where it does not fit a request: 400; a reply: 502.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content.content_type import Media
from gateway.policy.transforming import rewriting
from gateway.schema.json_exact import dumps
from gateway.schema.json_loads import loads


class Mapping(rewriting.Part):
    expression: str = Field(min_length=1, description="JMESPath over the body; its result is the new one")

    @field_validator("expression")
    @classmethod
    def _compiles(cls, value: str) -> str:
        from gateway.policy.transforming.jmespath_exact import compile_expression

        compile_expression(value)
        return value


class ReplyMapping(Mapping):
    statuses: tuple[str, ...] = Field(("2xx",), description="which replies, such as [2xx, 404]; empty: all")

    _statuses = field_validator("statuses")(rewriting.checked_statuses)


class JmesPath(rewriting.Directions):
    request: Mapping | None = None
    response: ReplyMapping | None = None


def build(config: JmesPath, _site: Site) -> Built:
    return rewriting.both(config, _rewrite)


def _rewrite(config: Mapping) -> rewriting.Rewrite:
    from gateway.policy.transforming.jmespath_exact import compile_expression

    search = compile_expression(config.expression)

    def apply(_given: None, body: bytes, _media: Media) -> rewriting.Rewritten:
        return dumps(search(loads(body))), None

    return rewriting.Rewrite(lambda media: media.is_json, "JSON", apply)


KIND = Kind(
    "jmespath",
    JmesPath,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Maps JSON bodies by a JMESPath expression",
    example={"request": {"expression": "{id: order_id, items: lines[].sku}"}},
    libraries=("gateway.policy.transforming.jmespath_exact",),
)
