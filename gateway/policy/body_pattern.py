"""`body-pattern`: expressions that a body must match, or must not, whatever its media type.

`{use: body-pattern, with: {request: {rules: [{deny: "(?i)<script"}]}, response: {rules: [{deny: "PRIVATE KEY"}]}}}`.
A body is read as UTF-8; bytes that are none stand for U+FFFD.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.errors import Detail
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content.inspection import Check, Inspection, Settings, StatusNames, statuses
from gateway.policy.content.pattern_rules import Rule, found, judge, some


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[Rule, ...] = Field(description="a message that breaks one is refused")

    _some = field_validator("rules")(some)


class Response(Request):
    statuses: StatusNames = Field(("2xx",), description="of replies that are looked at: 200, 2xx")


class BodyPattern(Settings):
    request: Request | None = None
    response: Response | None = None


def build(config: BodyPattern, site: Site) -> Built:
    if config.request is None and config.response is None:
        raise ValueError("it needs `request`, `response`, or both")
    inspection = Inspection(site, config)
    step = after = None
    if config.request is not None:
        step = inspection.request_step(_check(config.request), _any, "pass", b"*/*")
    if config.response is not None:
        after = inspection.reply_after(_check(config.response), _any, statuses(config.response.statuses))
    return Built(step=step, after=after)


def _any(_media_type: str) -> bool:
    return True


def _check(given: Request) -> Check:
    rules = [judge(rule) for rule in given.rules]

    def check(body: bytes) -> list[Detail]:
        text = body.decode("utf-8", "replace")
        return found(rule("$", text) for rule in rules)

    return check


KIND = Kind(
    "body-pattern",
    BodyPattern,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Expressions that a body must match, or must not",
    family="validation",
    example={"request": {"rules": [{"deny": "(?i)<script"}]}},
)
