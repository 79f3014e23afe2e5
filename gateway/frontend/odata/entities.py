"""One entity set: its URL becomes a call with a query plan, its page becomes OData JSON.

Paging is the server's (`@odata.nextLink`, PROTOCOLS O5): the skip token counts the rows that were served before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from gateway.core.call import Call, Context
from gateway.core.errors import BadRequest, NotFound, NotImplementedHere
from gateway.core.exchange import Exchange, Reply
from gateway.core.identity import ANONYMOUS
from gateway.frontend.odata import options, payload
from gateway.frontend.odata.negotiation import Format, json_format, page_size, require_type
from gateway.frontend.odata.url import Url
from gateway.query.names import nearest
from gateway.query.plan import Page, Query
from gateway.schema.edm import literal_reader
from gateway.schema.types import Enumeration, Record, Scalar, Types
from gateway.snapshot.spec import EntitySetSpec

_SET_OPTIONS: Final = frozenset(("$filter", "$select", "$orderby", "$top", "$skip", "$count", "$format", "$skiptoken"))
_COUNT_OPTIONS: Final = frozenset(("$filter", "$format"))
_ENTITY_OPTIONS: Final = frozenset(("$select", "$format"))
_PROPERTY_OPTIONS: Final = frozenset(("$format",))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a URL asks of a set. `shape`: set, count, entity or property; `names`: the properties to write, None for
    all; `served`: the rows up to the end of this page; `remaining`: what `$top` leaves behind it."""

    url: Url
    shape: str
    format: Format
    key: dict[str, Any] | None = None
    names: tuple[str, ...] | None = None
    selected: bool = False
    served: int = 0
    remaining: int | None = None
    applied: bytes | None = None


class EntitySet:
    """Compiled at publish time. ValueError for types that EDM has not."""

    def __init__(
        self,
        spec: EntitySetSpec,
        component: str,
        version: str,
        namespace: str,
        types: Types,
        root: Callable[[Exchange], str],
    ) -> None:
        record = types[spec.type]
        if not isinstance(record, Record):
            raise ValueError(f"the type {spec.type} of the entity set {spec.name} is not a record")
        self._spec = spec
        self._record = record
        self._types = types
        self._root = root
        self._place = (component, version, spec.operation or spec.name)
        self._writers = payload.Writers(record, types, namespace)
        self._type = f"#{namespace}.{record.name}"
        self._key_types = {name: _key_type(record, name, types) for name in spec.key}
        self._keys = {name: literal_reader(type_) for name, type_ in self._key_types.items()}

    def decode(self, exchange: Exchange) -> None:
        """Puts the call on the exchange; `exchange.parsed` is the Url, and an Asked afterwards."""
        asked, query = self._asked(exchange, exchange.parsed)
        exchange.parsed = asked
        component, version, operation = self._place
        identity = exchange.identity or ANONYMOUS
        context = Context(exchange.id, component, version, operation, "odata", identity)
        exchange.call = Call(operation, {}, context, query)

    def _asked(self, exchange: Exchange, url: Url) -> tuple[Asked, Query]:
        first, *rest = url.segments
        names = [segment.name for segment in rest]
        if first.arguments is None:
            if not rest:
                return self._collection(exchange, url)
            if names == ["$count"]:
                return self._count(exchange, url)
            if names[0].startswith("$"):
                raise NotImplementedHere(f"{self._spec.name}/{names[0]} is not supported here.")
            raise NotImplementedHere(f"Keys as segments are not supported here. Write {self._spec.name}(...).")
        key = self._key(url, first.arguments)
        if not rest:
            return self._entity(exchange, url, key)
        if len(rest) > 1 or rest[0].arguments is not None or names[0].startswith("$"):
            raise NotImplementedHere("Paths beyond a property of an entity are not supported here.")
        return self._property(exchange, url, key, names[0])

    def _collection(self, exchange: Exchange, url: Url) -> tuple[Asked, Query]:
        given = url.options
        format_ = json_format(exchange.head, given.get("$format"))
        size, applied = page_size(exchange.head, self._spec.page_size)
        top = options.number(given, "$top", options.MAX_TOP)
        before = options.number(given, "$skiptoken", options.MAX_SKIP) or 0
        skip = options.number(given, "$skip", options.MAX_SKIP) or 0
        left = None if top is None else max(top - before, 0)
        take = size if left is None else min(left, size)
        names = options.selected(given, self._record)
        query = Query(
            filter=options.condition(given, self._record, self._types),
            order=options.order(given, self._record, self._types),
            select=self._read(names, format_),
            skip=skip + before,
            top=take,
            count=options.boolean(given, "$count"),
        )
        remaining = None if left is None else left - take
        return Asked(url, "set", format_, None, names, "$select" in given, before + take, remaining, applied), query

    def _count(self, exchange: Exchange, url: Url) -> tuple[Asked, Query]:
        options.allow(url.options, _COUNT_OPTIONS, "a count")
        require_type(exchange.head, url.options.get("$format"), "text/plain")
        condition = options.condition(url.options, self._record, self._types)
        return Asked(url, "count", Format()), Query(filter=condition, top=0, count=True)

    def _entity(self, exchange: Exchange, url: Url, key: dict[str, Any]) -> tuple[Asked, Query]:
        options.allow(url.options, _ENTITY_OPTIONS, "a single entity")
        format_ = json_format(exchange.head, url.options.get("$format"))
        names = options.selected(url.options, self._record)
        asked = Asked(url, "entity", format_, key, names, "$select" in url.options)
        return asked, Query(key=key, select=self._read(names, format_))

    def _property(self, exchange: Exchange, url: Url, key: dict[str, Any], name: str) -> tuple[Asked, Query]:
        if name not in self._record:
            raise NotFound(f"{self._record.name} has no property {name}.{nearest(name, self._writers.names)}")
        options.allow(url.options, _PROPERTY_OPTIONS, "a property")
        format_ = json_format(exchange.head, url.options.get("$format"))
        return Asked(url, "property", format_, key, (name,)), Query(key=key, select=(name,))

    def _read(self, names: tuple[str, ...] | None, format_: Format) -> tuple[str, ...] | None:
        """What the backend reads: full metadata writes an `@odata.id`, and needs the key for it."""
        if names is None or format_.metadata != "full":
            return names
        return tuple(name for name in self._writers.names if name in names or name in self._spec.key)

    def _key(self, url: Url, arguments: Mapping[str, str]) -> dict[str, Any]:
        if list(arguments) == [""] and len(self._spec.key) == 1:
            arguments = {self._spec.key[0]: arguments[""]}
        if set(arguments) != set(self._spec.key):
            wanted = ",".join(f"{name}=..." for name in self._spec.key)
            raise BadRequest(f"The key of {self._spec.name} is {self._spec.name}({wanted}).")
        return {name: self._key_part(name, url.value(arguments[name])) for name in self._spec.key}

    def _key_part(self, name: str, text: str) -> Any:
        try:
            return self._keys[name](text)
        except ValueError as error:
            raise BadRequest(f"The key {name}, {text[:60]!r}, {error}.", target=name) from None

    def encode(self, exchange: Exchange, page: Page) -> Reply:
        asked: Asked = exchange.parsed
        if asked.shape == "count":
            return payload.text(str(page.count or 0))
        root = self._root(exchange)
        if asked.shape == "set":
            return self._page(exchange, root, asked, page)
        if not page.rows:
            raise NotFound(f"{self._spec.name} has no entity with this key.")
        if asked.shape == "property":
            return self._value(root, asked, page.rows[0])
        document = self._context(root, asked, "/$entity") | self._row(root, asked, page.rows[0])
        return payload.answer(document, asked.format)

    def _context(self, root: str, asked: Asked, suffix: str = "") -> dict[str, Any]:
        if asked.format.metadata == "none":
            return {}
        listed = f"({','.join(asked.names)})" if asked.names is not None else "(*)" if asked.selected else ""
        return {"@odata.context": f"{root}/$metadata#{self._spec.name}{listed}{suffix}"}

    def _row(self, root: str, asked: Asked, row: dict[str, Any]) -> dict[str, Any]:
        names: Sequence[str] = self._writers.names if asked.names is None else asked.names
        written = self._writers.write(row, names, asked.format)
        if asked.format.metadata != "full":
            return written
        address = self._address(row)
        return {
            "@odata.type": self._type,
            "@odata.id": f"{root}/{address}",
            "@odata.readLink": address,
        } | written

    def _address(self, row: Mapping[str, Any]) -> str:
        parts = {name: payload.literal(row[name], type_) for name, type_ in self._key_types.items()}
        listed = next(iter(parts.values())) if len(parts) == 1 else ",".join(f"{k}={v}" for k, v in parts.items())
        return f"{self._spec.name}({listed})"

    def _value(self, root: str, asked: Asked, row: dict[str, Any]) -> Reply:
        (name,) = asked.names or ("",)
        if row.get(name) is None:
            return payload.nothing()
        document: dict[str, Any] = {}
        if asked.format.metadata != "none":
            key = self._address(asked.key or {})
            document["@odata.context"] = f"{root}/$metadata#{key}/{name}"
        document["value"] = self._writers.write(row, (name,), Format("minimal", asked.format.ieee754))[name]
        return payload.answer(document, asked.format)

    def _page(self, exchange: Exchange, root: str, asked: Asked, page: Page) -> Reply:
        document = self._context(root, asked)
        if page.count is not None:
            document["@odata.count"] = str(page.count) if asked.format.ieee754 else page.count
        document["value"] = [self._row(root, asked, row) for row in page.rows]
        if page.more and asked.remaining != 0:
            document["@odata.nextLink"] = f"{root}/{self._spec.name}?{_next(exchange.head.query, asked.served)}"
        reply = payload.answer(document, asked.format)
        if asked.applied is not None:
            reply.add(b"preference-applied", asked.applied)
        return reply


def _next(query: bytes, served: int) -> str:
    """The client's own query with another skip token; bytes that a URL cannot hold are encoded."""
    kept = [part for part in query.split(b"&") if part and not _is_token(part)]
    given = [quote(part, safe="%$=@!'()*,;:/?~-._+") for part in kept]
    return "&".join([*given, f"$skiptoken={served}"])


def _is_token(part: bytes) -> bool:
    return unquote_to_bytes(part.partition(b"=")[0]).lower().lstrip(b"$") == b"skiptoken"


def _key_type(record: Record, name: str, types: Types) -> Scalar | Enumeration:
    if name not in record:
        raise ValueError(f"the key {name} is no property of {record.name}")
    type_ = types.resolve(record[name].type)
    if not isinstance(type_, Scalar | Enumeration):
        raise ValueError(f"the key {name} of {record.name} is not a single value")
    return type_
