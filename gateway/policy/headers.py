"""`headers`: sets, adds and removes header fields, of requests on their way to the backend and of replies.

`{use: headers, with: {request: {set: {X-Team: shop}}, response: {remove: [Server]}}}`. Values may hold `{application}`,
`{request_id}` and `{client}`; a value without them is a constant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core import headers
from gateway.core.exchange import Edits, Exchange, Reply, Step
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.fields import Fields, checked, names

_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_UNSAFE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_READ: Final[dict[str, Callable[[Exchange], str]]] = {
    "application": lambda exchange: (exchange.identity.application if exchange.identity else None) or "",
    "request_id": lambda exchange: exchange.id,
    "client": lambda exchange: exchange.head.peer.client,
}

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
                _known_placeholders(value)
        return self


class Headers(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    request: Edit = Edit()
    response: Edit = Edit()


def _known_placeholders(value: str) -> None:
    for name in _PLACEHOLDER.findall(value):
        if name not in _READ:
            raise ValueError(f"`{{{name}}}` is no placeholder; there are {', '.join(_READ)}")


def build(config: Headers, _site: Site) -> Built:
    step = _request_step(config.request) if config.request != Edit() else None
    after = _response_after(config.response) if config.response != Edit() else None
    return Built(step=step, after=after)


def _request_step(edit: Edit) -> Step:
    """Constants where nothing is filled in per request."""
    dropped = frozenset(names([*edit.set, *edit.remove]))
    pairs = [*_pairs(edit.set), *_pairs(edit.add)]
    drop = _dropper(dropped)
    if _constant(edit):
        lines = _lines(edit)

        def edit_constant(exchange: Exchange) -> None:
            edits = exchange.edits
            if dropped:
                drop(edits)
            edits.add += lines

        return edit_constant

    def edit_request(exchange: Exchange) -> None:
        drop(exchange.edits)
        exchange.edits.add += headers.block((name, value(exchange)) for name, value in pairs)

    return edit_request


def _constant(edit: Edit) -> bool:
    return not any(_PLACEHOLDER.search(value) for value in (*edit.set.values(), *edit.add.values()))


def _lines(edit: Edit) -> bytes:
    return headers.block([*checked(edit.set), *checked(edit.add)])


def _dropper(names: frozenset[bytes]) -> Callable[[Edits], None]:
    """Drops the client's fields, and those that an earlier step added."""
    keep = headers.dropper(names)

    def drop(edits: Edits) -> None:
        edits.drop |= names
        if edits.add:
            edits.add = keep(edits.add)

    return drop


def _response_after(edit: Edit) -> Callable[[Exchange, Reply], None]:
    removed = names([*edit.set, *edit.remove])
    pairs = [*_pairs(edit.set), *_pairs(edit.add)]
    if _constant(edit):
        lines = _lines(edit)

        def add_constant(_exchange: Exchange, reply: Reply) -> None:
            for name in removed:
                reply.remove(name)
            reply.block += lines

        return add_constant

    def edit_reply(exchange: Exchange, reply: Reply) -> None:
        for name in removed:
            reply.remove(name)
        for name, value in pairs:
            reply.add(name, value(exchange))

    return edit_reply


def _pairs(fields: Fields) -> Pairs:
    return [(name.encode("ascii"), _value(text)) for name, text in fields.items()]


def _value(text: str) -> Value:
    if not _PLACEHOLDER.search(text):
        constant = text.encode("latin-1")
        return lambda _exchange: constant

    def fill(exchange: Exchange) -> bytes:
        filled = _PLACEHOLDER.sub(lambda match: _READ[match[1]](exchange), text)
        return _UNSAFE.sub(b"", filled.encode("latin-1", "replace"))

    return fill


KIND = Kind(
    "headers",
    Headers,
    build,
    summary="Sets, adds and removes header fields",
    example={"request": {"set": {"X-Team": "shop"}}, "response": {"remove": ["X-Powered-By"]}},
)
