"""`query`: parameters of the query that the backend gets, set, added, removed and renamed.

`{use: query, with: {set: {tenant: "{claim.tenant}"}, remove: [debug], rename: {q: search}}}`. Parameters that the
step does not name go on byte for byte and in their order; what it writes is percent-encoded. First parameters are
removed, then renamed, then set, then added. Values may hold placeholders (see `placeholders`), which read the
request as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.exchange import Exchange
from gateway.core.kinds import Built, Kind, Site
from gateway.policy import placeholders

Fill = Callable[[Exchange], str]


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    set: dict[str, str] = Field(default_factory=dict, description="instead of what is there")
    add: dict[str, str] = Field(default_factory=dict, description="beside what is there")
    remove: tuple[str, ...] = Field((), description="names, as they are once decoded")
    rename: dict[str, str] = Field(
        default_factory=dict, description="name: new name; the value stays as it was written"
    )

    @model_validator(mode="after")
    def _fits(self) -> Query:
        for value in (*self.set.values(), *self.add.values()):
            placeholders.check(value)
        if not (self.set or self.add or self.remove or self.rename):
            raise ValueError("write `set`, `add`, `remove` or `rename`")
        if any(not name for name in (*self.set, *self.add, *self.remove, *self.rename, *self.rename.values())):
            raise ValueError("a parameter needs a name")
        return self


def build(config: Query, _site: Site) -> Built:
    replaced = frozenset(name.encode() for name in config.set)
    renamed = {name.encode(): encoded(new) for name, new in config.rename.items()}
    pairs = (*config.set.items(), *config.add.items())
    written = [(encoded(name), placeholders.filler(value)) for name, value in pairs]
    removed = frozenset(name.encode() for name in config.remove)
    constant = all(placeholders.is_constant(value) for _, value in pairs)
    alone = b"&".join(encoded(name) + b"=" + encoded(value) for name, value in pairs) if constant else None

    def edit_query(exchange: Exchange) -> None:
        edits = exchange.edits
        query = exchange.head.query if edits.query is None else edits.query
        if not query and alone is not None:
            edits.query = alone
            return
        parts = []
        for part in query.split(b"&") if query else ():
            spelt, equals, value = part.partition(b"=")
            name = decoded_name(spelt)
            if name in removed:
                continue
            new = renamed.get(name, spelt)
            if decoded_name(new) not in replaced:
                parts.append(part if new is spelt else new + equals + value)
        parts += [name + b"=" + encoded(fill(exchange)) for name, fill in written]
        edits.query = b"&".join(parts)

    return Built(step=edit_query)


def put(exchange: Exchange, name: bytes, value: str) -> None:
    """Sets one parameter, instead of what is there; `name` is encoded."""
    edits, plain = exchange.edits, decoded_name(name)
    query = exchange.head.query if edits.query is None else edits.query
    parts = [part for part in query.split(b"&") if decoded_name(part.partition(b"=")[0]) != plain] if query else []
    edits.query = b"&".join([*parts, name + b"=" + encoded(value)])


def encoded(text: str) -> bytes:
    """Everything but unreserved characters escaped (RFC 3986 section 2.3)."""
    return quote(text, safe="").encode()


def decoded_name(part: bytes) -> bytes:
    """Every way to write a name counts: a parameter that is removed is gone however it was encoded."""
    return unquote_to_bytes(part.replace(b"+", b" ")) if b"%" in part or b"+" in part else part


KIND = Kind(
    "query",
    Query,
    build,
    summary="Sets, adds, removes and renames parameters of the query",
    example={"set": {"source": "gateway"}, "remove": ["debug"]},
)
