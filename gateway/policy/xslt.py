"""`xslt`: XML bodies transformed by an XSLT 1.0 stylesheet, with all access denied (see `xslt_sheet`).

`{use: xslt, with: {response: {stylesheet: {$file: order.xsl}, parameters: {app: "{application}"}}}}`. Compiled when
it is published; each transformation runs in a thread, within its time and size.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import Field, field_validator, model_validator

from gateway.core.durations import seconds
from gateway.core.exchange import Exchange, Reply
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy import placeholders
from gateway.policy.content.content_type import Media
from gateway.policy.json_to_xml import MediaType
from gateway.policy.transforming import rewriting

_NAME: Final = re.compile(r"[A-Za-z_][\w.-]{0,99}")
_EXAMPLE: Final = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
    '<xsl:template match="/"><order><xsl:value-of select="/*/id"/></order></xsl:template></xsl:stylesheet>'
)


class Xslt(rewriting.Part):
    stylesheet: str = Field(min_length=1, max_length=1_048_576, description="the text, or {$file: order.xsl}")
    parameters: dict[str, str] = Field(default_factory=dict, description="of the stylesheet; may hold placeholders")
    content_type: MediaType | None = Field(None, description="of the body that is made; default: by its xsl:output")
    time: rewriting.Time = Field("1s", description="how long it may take, at most 5s")
    size: int = Field(1_048_576, ge=1, le=16_777_216, description="bytes that it may write")

    @model_validator(mode="after")
    def _compiles(self) -> Xslt:
        from gateway.policy.transforming.xslt_sheet import Sheet

        for name, value in self.parameters.items():
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r} cannot be the name of a parameter")
            placeholders.check(value)
        Sheet(self.stylesheet)
        return self


class ReplyXslt(Xslt):
    statuses: tuple[str, ...] = Field(("2xx",), description="which replies, such as [2xx, 404]; empty: all")

    _statuses = field_validator("statuses")(rewriting.checked_statuses)


class Stylesheets(rewriting.Directions):
    request: Xslt | None = None
    response: ReplyXslt | None = None


def build(config: Stylesheets, _site: Site) -> Built:
    return rewriting.both(config, _rewrite)


def _rewrite(config: Xslt) -> rewriting.Rewrite:
    from gateway.policy.content import xml_reading
    from gateway.policy.transforming.xslt_sheet import Sheet

    sheet = Sheet(config.stylesheet)
    media_type = (config.content_type or "").encode() or sheet.media_type
    limit = seconds(config.time)
    fills = {name: placeholders.filler(value) for name, value in config.parameters.items()}

    def gather(exchange: Exchange, _reply: Reply | None) -> dict[str, str]:
        return {name: fill(exchange) for name, fill in fills.items()}

    def apply(given: Any, body: bytes, media: Media) -> rewriting.Rewritten:
        root = xml_reading.parse(body, media.charset)
        return sheet.apply(root, given, limit, config.size), media_type

    return rewriting.Rewrite(lambda media: media.is_xml, "XML", apply, gather, slow=True)


KIND = Kind(
    "xslt",
    Stylesheets,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Transforms XML bodies by a stylesheet, with all access denied",
    example={"response": {"stylesheet": _EXAMPLE}},
    libraries=("gateway.policy.transforming.xslt_sheet",),
)
