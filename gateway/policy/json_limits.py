"""`json-limits`: JSON bodies that every parser understands in the same way, within bounds (CASES B54).

`{use: json-limits, with: {request: {depth: 20}, response: {}}}`. One linear look; nothing is parsed into values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.errors import Detail
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content import media
from gateway.policy.content.inspection import Check, Inspection, Settings, StatusNames, statuses
from gateway.schema.json_scan import JsonLimits, scan


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(64, ge=0, le=100_000, description="levels of nesting")
    values: int = Field(100_000, ge=1, description="values in all, containers included")
    members: int = Field(1_000, ge=0, description="members of one object")
    items: int = Field(10_000, ge=0, description="items of one array")
    string: int = Field(100_000, ge=0, description="characters of one string")
    name: int = Field(256, ge=0, description="characters of a member's name")
    digits: int = Field(64, ge=1, description="digits of one number, its exponent's included")
    duplicates: Literal["refuse", "allow"] = Field("refuse", description="a name that one object has twice")


class RequestLimits(Limits):
    other_types: Literal["refuse", "pass"] = Field("refuse", description="bodies that do not say that they are JSON")


class ResponseLimits(Limits):
    statuses: StatusNames = Field(("2xx",), description="of replies that are looked at: 200, 2xx")


class JsonLimitsConfig(Settings):
    request: RequestLimits | None = Field(RequestLimits(), description="null: requests are not looked at")
    response: ResponseLimits | None = Field(None, description="replies with a JSON body")


def build(config: JsonLimitsConfig, site: Site) -> Built:
    inspection = Inspection(site, config)
    step = after = None
    if config.request is not None:
        check = _check(config.request)
        step = inspection.request_step(check, media.is_json, config.request.other_types, b"application/json")
    if config.response is not None:
        after = inspection.reply_after(_check(config.response), media.is_json, statuses(config.response.statuses))
    return Built(step=step, after=after)


def _check(given: Limits) -> Check:
    names = ("depth", "values", "members", "items", "string", "name", "digits")
    limits = JsonLimits(**{name: getattr(given, name) for name in names}, duplicates=given.duplicates == "allow")

    def check(body: bytes) -> Sequence[Detail]:
        found = scan(body, limits)
        return () if found is None else (found,)

    return check


KIND = Kind(
    "json-limits",
    JsonLimitsConfig,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Bounds JSON bodies: depth, sizes, doubled names, numbers",
    family="validation",
    example={"request": {"depth": 20}},
)
