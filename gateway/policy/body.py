"""`body`: members of JSON bodies set, removed and renamed by JSON Pointer, without a language.

`{use: body, with: {request: {set: {/customer/source: "{application}"}, remove: [/debug], rename: {/qty:
quantity}}}}`. Texts may hold placeholders (see `placeholders`). First members are removed, then renamed, then set.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from pydantic import Field, model_validator

from gateway.core.exchange import Exchange, Reply
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy import placeholders
from gateway.policy.content.content_type import Media
from gateway.policy.transforming import json_pointer, rewriting
from gateway.schema.json_exact import dumps
from gateway.schema.json_loads import loads


class BodyEdit(rewriting.Part):
    set: dict[str, Any] = Field(default_factory=dict, description="JSON Pointer: value, instead of what is there")
    remove: tuple[str, ...] = Field((), description="JSON Pointers")
    rename: dict[str, str] = Field(default_factory=dict, description="JSON Pointer: the member's new name")

    @model_validator(mode="after")
    def _fits(self) -> BodyEdit:
        for pointer in (*self.set, *self.remove, *self.rename):
            json_pointer.parse(pointer)
        placeholders.check_value(self.set)
        if not (self.set or self.remove or self.rename):
            raise ValueError("write `set`, `remove` or `rename`")
        return self


class ReplyBodyEdit(BodyEdit, rewriting.Statuses):
    pass


class Body(rewriting.Directions):
    request: BodyEdit | None = None
    response: ReplyBodyEdit | None = None


def build(config: Body, _site: Site) -> Built:
    return rewriting.both(config, _rewrite)


def _rewrite(edit: BodyEdit) -> rewriting.Rewrite:
    removed = [json_pointer.parse(pointer) for pointer in edit.remove]
    renamed = [(json_pointer.parse(pointer), name) for pointer, name in edit.rename.items()]
    filled: list[tuple[json_pointer.Steps, Callable[[Exchange], Any]]] = [
        (json_pointer.parse(pointer), placeholders.value(value)) for pointer, value in edit.set.items()
    ]

    def gather(exchange: Exchange, _reply: Reply | None) -> list[tuple[json_pointer.Steps, Any]]:
        return [(steps, read(exchange)) for steps, read in filled]

    def apply(parts: list[tuple[json_pointer.Steps, Any]], body: bytes, _media: Media) -> rewriting.Rewritten:
        value = loads(body)
        for steps in removed:
            json_pointer.remove(value, steps)
        for steps, name in renamed:
            json_pointer.rename(value, steps, name)
        for steps, part in parts:
            _put(value, steps, part)
        return dumps(value), None

    return rewriting.Rewrite(lambda media: media.is_json, "JSON", apply, gather)


def _put(value: Any, steps: json_pointer.Steps, part: Any) -> None:
    try:
        json_pointer.put(value, steps, copy.deepcopy(part))
    except json_pointer.CannotStand as error:
        raise ValueError(f"nothing can be set at {error}, as the body has something else there") from None


KIND = Kind(
    "body",
    Body,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Sets, removes and renames members of JSON bodies",
    example={"request": {"set": {"/source": "{application}"}, "remove": ["/debug"]}},
)
