"""Forms as browsers send them (application/x-www-form-urlencoded), bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from gateway.admin.bodies import media_type, raw_body
from gateway.core.errors import BadRequest, UnsupportedMediaType

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
FIELDS: Final = 200


@dataclass(frozen=True, slots=True)
class Form:
    values: Mapping[str, tuple[str, ...]]

    def text(self, name: str) -> str:
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """As typed, with the line ends that YAML has."""
        return self.values.get(name, ("",))[0].replace("\r\n", "\n")

    def all(self, name: str) -> tuple[str, ...]:
        return self.values.get(name, ())

    def given(self, *names: str) -> dict[str, str]:
        """Of these fields, those that are not empty."""
        return {name: text for name in names if (text := self.text(name))}


async def read(request: Request) -> Form:
    """BadRequest, UnsupportedMediaType, ContentTooLarge."""
    body = await raw_body(request)
    if body and media_type(request) != MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send a form: Content-Type: {MEDIA_TYPE}.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError:
        raise BadRequest("The form cannot be read.") from None
    values: dict[str, tuple[str, ...]] = {}
    for name, text in pairs:
        values[name] = (*values.get(name, ()), text)
    return Form(values)
