"""`xml-limits`: XML bodies within bounds, without document types and entities (CASES B50).

`{use: xml-limits, with: {request: {depth: 20}, response: {}}}`. One look in slices; no tree is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.errors import Detail
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content import media
from gateway.policy.content.inspection import Check, Inspection, Settings, StatusNames, statuses
from gateway.schema.xml_scan import XmlLimits, scan


class Limits(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(64, ge=1, le=10_000, description="levels of elements")
    nodes: int = Field(100_000, ge=1, description="elements, attributes, texts and comments in all")
    children: int = Field(10_000, ge=0, description="elements in one element")
    attributes: int = Field(64, ge=0, description="attributes of one element")
    namespaces: int = Field(32, ge=0, description="namespaces that one element declares")
    name: int = Field(256, ge=1, description="characters of a name")
    value: int = Field(10_000, ge=0, description="characters of an attribute's value")
    text: int = Field(100_000, ge=0, description="characters of one element's own text")
    tag: int = Field(131_072, ge=1024, description="bytes of one tag, comment or instruction")
    instructions: Literal["refuse", "allow"] = Field("refuse", description="processing instructions")


class RequestLimits(Limits):
    other_types: Literal["refuse", "pass"] = Field("refuse", description="bodies that do not say that they are XML")


class ResponseLimits(Limits):
    statuses: StatusNames = Field(("2xx",), description="of replies that are looked at: 200, 2xx")


class XmlLimitsConfig(Settings):
    request: RequestLimits | None = Field(RequestLimits(), description="null: requests are not looked at")
    response: ResponseLimits | None = Field(None, description="replies with an XML body")


def build(config: XmlLimitsConfig, site: Site) -> Built:
    inspection = Inspection(site, config)
    step = after = None
    if config.request is not None:
        other = config.request.other_types
        step = inspection.request_step(_check(config.request), media.is_xml, other, b"application/xml")
    if config.response is not None:
        after = inspection.reply_after(_check(config.response), media.is_xml, statuses(config.response.statuses))
    return Built(step=step, after=after)


def _check(given: Limits) -> Check:
    limits = limits_of(given)

    def check(body: bytes) -> Sequence[Detail]:
        found = scan(body, limits)
        return () if found is None else (found,)

    return check


def limits_of(given: Limits) -> XmlLimits:
    names = ("depth", "nodes", "children", "attributes", "namespaces", "name", "value", "text", "tag")
    return XmlLimits(**{name: getattr(given, name) for name in names}, instructions=given.instructions == "allow")


KIND = Kind(
    "xml-limits",
    XmlLimitsConfig,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Bounds XML bodies: depth, sizes, names, attributes; no DOCTYPE, no entities",
    family="validation",
    example={"request": {"depth": 20}},
)
