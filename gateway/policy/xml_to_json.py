"""`xml-to-json`: bodies from XML to JSON, by one of two conventions.

`{use: xml-to-json, with: {response: {arrays: [line], namespaces: {"": "urn:shop"}}}}`. The conventions are those of
`json-to-xml`, read the other way.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content.content_type import Media
from gateway.policy.json_to_xml import Convention, MediaType, checked_namespaces
from gateway.policy.transforming import rewriting


class ToJson(rewriting.Part):
    convention: Convention = "plain"
    arrays: tuple[str, ...] = Field((), description="plain: elements that are always a list, as they are named in JSON")
    namespaces: dict[str, str] = Field(
        default_factory=dict, description="plain: by prefix; the empty one is the default"
    )
    unwrap: bool = Field(False, description="plain: the root element's content alone, without its name")
    content_type: MediaType = Field("application/json", description="of the body that is made")

    _namespaces = field_validator("namespaces")(checked_namespaces)

    @model_validator(mode="after")
    def _fits(self) -> ToJson:
        if self.convention == "typed" and {"arrays", "namespaces", "unwrap"} & self.model_fields_set:
            raise ValueError("`arrays`, `namespaces` and `unwrap` belong to the convention plain")
        return self


class ReplyToJson(ToJson, rewriting.Statuses):
    pass


class XmlToJson(rewriting.Directions):
    request: ToJson | None = None
    response: ReplyToJson | None = None


def build(config: XmlToJson, _site: Site) -> Built:
    return rewriting.both(config, _rewrite)


def _rewrite(config: ToJson) -> rewriting.Rewrite:
    from gateway.policy.content import xml_reading
    from gateway.policy.transforming import xml_json_typed
    from gateway.policy.transforming.xml_json_plain import Plain
    from gateway.schema.json_exact import dumps

    plain = Plain(config.namespaces, arrays=frozenset(config.arrays))
    media_type = config.content_type.encode()

    def read(root: Any) -> Any:
        if config.convention == "typed":
            return xml_json_typed.to_json(root)
        value = plain.to_json(root)
        return next(iter(value.values())) if config.unwrap else value

    def apply(_given: None, body: bytes, media: Media) -> rewriting.Rewritten:
        return dumps(read(xml_reading.parse(body, media.charset))), media_type

    return rewriting.Rewrite(lambda media: media.is_xml, "XML", apply)


KIND = Kind(
    "xml-to-json",
    XmlToJson,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Writes XML bodies as JSON",
    example={"response": {"arrays": ["line"]}},
    libraries=(
        "gateway.policy.transforming.xml_json_plain",
        "gateway.policy.transforming.xml_json_typed",
        "gateway.policy.content.xml_reading",
    ),
)
