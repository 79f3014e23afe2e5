"""`json-to-xml`: bodies from JSON to XML, by one of two conventions.

`{use: json-to-xml, with: {request: {root: order}, response: {convention: typed}}}`. `plain` (see `xml_json_plain`)
makes the document that people expect; `typed` (see `xml_json_typed`) loses nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content.content_type import Media
from gateway.policy.transforming import rewriting

Convention = Literal["plain", "typed"]
_NAME: Final = re.compile(r"(?:[A-Za-z_][\w.-]*:)?[A-Za-z_][\w.-]*")
_PREFIX: Final = re.compile(r"(?:[A-Za-z_][\w.-]*)?")
_MEDIA_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}(?:; ?charset=utf-8)?")


def checked_namespaces(value: dict[str, str]) -> dict[str, str]:
    for prefix, uri in value.items():
        if _PREFIX.fullmatch(prefix) is None or prefix.lower().startswith("xml") or prefix == "xsi":
            raise ValueError(f"{prefix!r} cannot be a prefix of a namespace")
        if not uri or any(ord(character) < 33 for character in uri):
            raise ValueError(f"the namespace of {prefix!r} is empty, or holds a blank")
    return value


def _media_type(value: str) -> str:
    if _MEDIA_TYPE.fullmatch(value) is None:
        raise ValueError(f"{value!r} is no media type; bodies are written in UTF-8")
    return value


MediaType = Annotated[str, AfterValidator(_media_type)]


class ToXml(rewriting.Part):
    convention: Convention = "plain"
    root: str | None = Field(None, description="plain: the root element around the value; default: its one member")
    item: str = Field("item", description="plain: the elements of a list that is the whole value")
    namespaces: dict[str, str] = Field(
        default_factory=dict, description="plain: by prefix; the empty one is the default"
    )
    content_type: MediaType = Field("application/xml", description="of the body that is made")

    _namespaces = field_validator("namespaces")(checked_namespaces)

    @model_validator(mode="after")
    def _fits(self) -> ToXml:
        if self.convention == "typed" and {"root", "item", "namespaces"} & self.model_fields_set:
            raise ValueError("`root`, `item` and `namespaces` belong to the convention plain")
        for name in filter(None, (self.root, self.item)):
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r} cannot be the name of an XML element")
            if ":" in name and name.partition(":")[0] not in self.namespaces:
                raise ValueError(f"{name!r} has a prefix that `namespaces` does not list")
        return self


class ReplyToXml(ToXml, rewriting.Statuses):
    pass


class JsonToXml(rewriting.Directions):
    request: ToXml | None = None
    response: ReplyToXml | None = None


def build(config: JsonToXml, _site: Site) -> Built:
    return rewriting.both(config, _rewrite)


def _rewrite(config: ToXml) -> rewriting.Rewrite:
    from gateway.policy.content import xml_reading
    from gateway.policy.transforming import xml_json_typed
    from gateway.policy.transforming.xml_json_plain import Plain
    from gateway.schema.json_loads import loads

    plain = Plain(config.namespaces, root=config.root, item=config.item)
    write = plain.to_xml if config.convention == "plain" else xml_json_typed.to_xml
    media_type = config.content_type.encode()

    def apply(_given: None, body: bytes, _media: Media) -> rewriting.Rewritten:
        return xml_reading.serialise(write(loads(body))), media_type

    return rewriting.Rewrite(lambda media: media.is_json, "JSON", apply)


KIND = Kind(
    "json-to-xml",
    JsonToXml,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Writes JSON bodies as XML",
    example={"request": {"root": "order"}},
    libraries=("gateway.policy.transforming.xml_json_plain", "gateway.policy.transforming.xml_json_typed"),
)
