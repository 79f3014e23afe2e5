"""`form-limits`: forms within bounds (CASES B55). `{use: form-limits, with: {fields: 100, files: 5, file: 5000000}}`.

Bounds application/x-www-form-urlencoded and multipart/form-data bodies: fields, files, names, values.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gateway.core.errors import Detail
from gateway.core.exchange import Exchange
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.core.off_loop import LARGE, off_loop
from gateway.policy.content import media
from gateway.policy.content.inspection import Inspection, Settings
from gateway.schema.form_scan import FormLimits, scan_multipart, scan_urlencoded


class FormLimitsConfig(Settings):
    fields: int = Field(1_000, ge=0, le=1_000_000, description="fields of one form, files included")
    files: int = Field(20, ge=0, le=1_000_000, description="files of one form")
    name: int = Field(256, ge=0, description="bytes of a field's name, as it is encoded")
    value: int = Field(100_000, ge=0, description="bytes of a field's value, as it is encoded")
    file: int = Field(10_000_000, ge=0, description="bytes of one file")
    head: int = Field(8_192, ge=64, description="bytes of the head of one part")
    other_types: Literal["refuse", "pass"] = Field("pass", description="bodies that do not say that they are a form")


def build(config: FormLimitsConfig, site: Site) -> Built:
    inspection = Inspection(site, config)
    limits = FormLimits(config.fields, config.files, config.name, config.value, config.file, config.head)

    def check(body: bytes, media_type: str, content_type: bytes) -> list[Detail]:
        multipart = media_type == "multipart/form-data"
        found = scan_multipart(body, content_type, limits) if multipart else scan_urlencoded(body, limits)
        return [] if found is None else [found]

    def inspect(exchange: Exchange) -> Any:
        body = exchange.body
        if not body:
            return None
        media_type = media.of_request(exchange.head)
        if not media.is_form(media_type):
            if config.other_types == "refuse" or not media.is_readable(exchange.head):
                inspection.unsupported(exchange, b"application/x-www-form-urlencoded, multipart/form-data")
            return None
        content_type = exchange.head.get(b"content-type") or b""
        if len(body) > LARGE:
            return later(exchange, body, media_type, content_type)
        inspection.refuse(exchange, check(body, media_type, content_type))
        return None

    async def later(exchange: Exchange, *given: Any) -> None:
        inspection.refuse(exchange, await off_loop(check, *given))

    return Built(step=inspect)


KIND = Kind(
    "form-limits",
    FormLimitsConfig,
    build,
    stage=Stage.BODY,
    summary="Bounds forms: fields, files, names, values",
    family="validation",
    example={"fields": 100, "files": 5},
)
