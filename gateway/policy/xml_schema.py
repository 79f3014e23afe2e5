"""`xml-schema`: XML bodies against an XML Schema (XSD 1.0).

`{use: xml-schema, with: {request: {schema: {$file: order.xsd}, files: {common.xsd: {$file: common.xsd}}}}}`.
What the schema includes stands in `files`, under the schemaLocation by which it is included. Nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.errors import Detail
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content import media
from gateway.policy.content.inspection import Inspection, Settings, StatusNames, required_body, statuses


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: str = Field(alias="schema", description="the schema's text, or {$file: path} of it")
    files: dict[str, str] = Field(default_factory=dict, description="what it includes, each by its schemaLocation")
    part: Literal["document", "soap-body"] = Field("document", description="soap-body: what the envelope's Body holds")


class RequestPart(Part):
    required: bool | None = Field(None, description="a body must be there; default: of POST, PUT and PATCH")
    other_types: Literal["refuse", "pass"] = Field("refuse", description="bodies that do not say that they are XML")


class ResponsePart(Part):
    statuses: StatusNames = Field(("2xx",), description="of replies that are looked at: 200, 2xx")
    other_types: Literal["refuse", "pass"] = Field("refuse", description="replies that do not say that they are XML")


class XmlSchema(Settings):
    request: RequestPart | None = None
    response: ResponsePart | None = None


def build(config: XmlSchema, site: Site) -> Built:
    if config.request is None and config.response is None:
        raise ValueError("it needs `request`, `response`, or both")
    inspection = Inspection(site, config)
    step = after = None
    if config.request is not None:
        other = config.request.other_types
        step = inspection.request_step(_check(config.request), media.is_xml, other, b"application/xml")
        step = required_body(step, inspection, config.request.required, "an XML body", "/")
    if config.response is not None:
        wanted, other = statuses(config.response.statuses), config.response.other_types
        after = inspection.reply_after(_check(config.response), media.is_xml, wanted, other)
    return Built(step=step, after=after)


def _check(part: Part) -> Callable[[bytes], Sequence[Detail]]:
    from gateway.policy.content import xml_schemas

    return xml_schemas.compiled(part.schema_, part.files, part.part == "soap-body")


KIND = Kind(
    "xml-schema",
    XmlSchema,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="XML bodies against an XML Schema, of requests and replies",
    family="validation",
    example={
        "request": {
            "schema": '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="order"/></xs:schema>'
        }
    },
    libraries=("gateway.policy.content.xml_schemas",),
)
