"""`headers`: sets, adds and removes header fields, of requests on their way to the backend and of replies.

`{use: headers, with: {request: {set: {X-Team: shop}}, response: {remove: [Server]}}}`. Values may hold placeholders
(see `placeholders`); where none does, all is a constant, and steps side by side become one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core import headers
from gateway.core.exchange import Edits, Exchange, Reply, Step
from gateway.core.field_edits import OWN, ConstantEdits, FieldEdit, replace_own, reply_editor
from gateway.core.kinds import Built, Kind, Site
from gateway.policy import placeholders
from gateway.policy.fields import Fields, checked, names

_UNSAFE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")

Value = Callable[[Exchange], bytes]
Pairs = list[tuple[bytes, Value]]


class Edit(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    set: Fields = Field(default_factory=dict, description="instead of what is there")
    add: Fields = Field(default_factory=dict, description="beside what is there")
    remove: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> Edit:
        names(self.remove)
        for fields in (self.set, self.add):
            checked(fields)
            for value in fields.values():
                placeholders.check(value)
        if own := [name for name in self.add if name.lower().encode() in OWN]:
            raise ValueError(f"the gateway writes {own[0]} itself, and once; write it under `set`")
        return self


class Headers(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    request: Edit = Edit()
    response: Edit = Edit()


def build(config: Headers, _site: Site) -> Built:
    request, response = config.request, config.response
    step = _request_step(request) if request != Edit() else None
    after = _response_after(response) if response != Edit() else None
    constant = ConstantEdits(_edit(request), _edit(response)) if _constant(request) and _constant(response) else None
    return Built(step=step, after=after, constant=constant)


def _constant(edit: Edit) -> bool:
    return all(map(placeholders.is_constant, (*edit.set.values(), *edit.add.values())))


def _edit(edit: Edit) -> FieldEdit:
    return FieldEdit(_dropped(edit), headers.block([*checked(edit.set), *checked(edit.add)]))


def _dropped(edit: Edit) -> frozenset[bytes]:
    return frozenset(names([*edit.set, *edit.remove]))


def _request_step(edit: Edit) -> Step:
    drop = _dropper(_dropped(edit))
    if _constant(edit):
        lines = _edit(edit).add

        def edit_constant(exchange: Exchange) -> None:
            drop(exchange.edits)
            exchange.edits.add += lines

        return edit_constant
    pairs = [*_pairs(edit.set), *_pairs(edit.add)]

    def edit_request(exchange: Exchange) -> None:
        drop(exchange.edits)
        exchange.edits.add += headers.block(_filled(pairs, exchange))

    return edit_request


def _dropper(names: frozenset[bytes]) -> Callable[[Edits], None]:
    """Drops the client's fields, and those that an earlier step added."""
    keep = headers.dropper(names)

    def drop(edits: Edits) -> None:
        edits.drop |= names
        if edits.add:
            edits.add = keep(edits.add)

    return drop


def _response_after(edit: Edit) -> Callable[[Exchange, Reply], None]:
    if _constant(edit):
        return reply_editor(_edit(edit))
    removed, pairs = _dropped(edit), [*_pairs(edit.set), *_pairs(edit.add)]
    own = removed & OWN

    def edit_reply(exchange: Exchange, reply: Reply) -> None:
        for name in removed:
            reply.remove(name)
        for name, value in _filled(pairs, exchange):
            reply.add(name, value)
        if own:
            replace_own(exchange, own)

    return edit_reply


def _pairs(fields: Fields) -> Pairs:
    return [(name.encode("ascii"), _value(text)) for name, text in fields.items()]


def _filled(pairs: Pairs, exchange: Exchange) -> Iterable[tuple[bytes, bytes]]:
    return [(name, value(exchange)) for name, value in pairs]


def _value(text: str) -> Value:
    fill = placeholders.filler(text)
    return lambda exchange: _UNSAFE.sub(b"", fill(exchange).encode("latin-1", "replace"))


KIND = Kind(
    "headers",
    Headers,
    build,
    summary="Sets, adds and removes header fields",
    example={"request": {"set": {"X-Team": "shop"}}, "response": {"remove": ["X-Powered-By"]}},
)
