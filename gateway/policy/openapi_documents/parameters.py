"""Parameters of an OpenAPI operation: text in path, query, header and cookie as the values that their schemas speak of.

Styles: simple, form, spaceDelimited, pipeDelimited, deepObject; and `content` in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from gateway.core.errors import Detail, InvalidInput
from gateway.policy.content.json_schemas import Validate
from gateway.policy.openapi_documents.document import Document, Located
from gateway.schema.json_codec import loads

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,308})")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,308})(?:\.[0-9]{1,308})?(?:[eE][+-]?[0-9]{1,3})?")
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False}
_SEPARATORS: Final = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
_STYLES: Final = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_NONE: Final = object()

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Given:
    """What a request has: decoded."""

    path: Mapping[str, str]
    query: Pairs
    header: Callable[[str], str | None]
    cookie: Pairs


@dataclass(frozen=True, slots=True)
class Parameter:
    """`read` gives the value, or _NONE; `check` says what is wrong with it."""

    where: str
    name: str
    required: bool
    read: Callable[[Given], Any]
    validate: Validate

    def check(self, given: Given) -> list[Detail]:
        place = f"{self.where}.{self.name}"
        try:
            value = self.read(given)
        except InvalidInput:
            return [Detail(place, "is not valid JSON", "json")]
        if value is _NONE:
            return [Detail(place, "is required", "required")] if self.required else []
        return [Detail(place + each.target[1:], each.message, each.code) for each in self.validate(value)]


class Types:
    """Which types a schema allows: what text may stand for."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def of(self, schema: Located | None, depth: int = 0) -> frozenset[str]:
        if schema is None or depth > 8:
            return frozenset()
        schema = self._document.resolved(schema)
        if not isinstance(schema.value, Mapping):
            return frozenset()
        given = schema.value.get("type", ())
        types = {given} if isinstance(given, str) else set(given)
        for key in ("allOf", "anyOf", "oneOf"):
            for each in self._document.items(schema, key):
                types |= self.of(each, depth + 1)
        return frozenset(types)

    def convert(self, schema: Located | None) -> Callable[[str], Any]:
        types = self.of(schema)
        if not types & {"integer", "number", "boolean"}:
            return lambda text: text

        def value(text: str) -> Any:
            if "integer" in types and _INTEGER.fullmatch(text):
                return int(text)
            if "number" in types and _NUMBER.fullmatch(text):
                return float(text)
            return _WORDS.get(text, text) if "boolean" in types else text

        return value

    def properties(self, schema: Located) -> dict[str, Callable[[str], Any]]:
        members = {name: self.convert(part) for name, part in self._document.members(schema, "properties")}
        for key in ("allOf", "anyOf", "oneOf"):
            for each in self._document.items(schema, key):
                members = self.properties(each) | members
        return members


def parameter(part: Located, document: Document, compiled: Callable[[Located], Validate]) -> Parameter:
    """A compiled Parameter object. ValueError for one that is none."""
    value = part.value
    where, name = value.get("in"), value.get("name")
    if where not in _STYLES or not isinstance(name, str):
        raise ValueError(f"the parameter at {part.pointer} needs `name`, and `in`: path, query, header or cookie")
    required = where == "path" or value.get("required") is True
    content = list(document.members(part, "content"))
    if content:
        schema = document.find(content[0][1], "schema")
        read = _json(where, name)
    else:
        schema = document.find(part, "schema")
        read = _reader(where, name, value, schema, document)
    validate = compiled(schema) if schema is not None else _anything
    return Parameter(where, name, required, read, validate)


def _anything(_value: Any) -> list[Detail]:
    return []


def _all(where: str, name: str) -> Callable[[Given], list[str]]:
    if where == "path":
        return lambda given: [given.path[name]] if name in given.path else []
    if where == "header":
        return lambda given: [] if (value := given.header(name)) is None else [value]
    if where == "cookie":
        return lambda given: [value for key, value in given.cookie if key == name]
    return lambda given: [value for key, value in given.query if key == name]


def _json(where: str, name: str) -> Callable[[Given], Any]:
    find = _all(where, name)
    return lambda given: loads(texts[0].encode()) if (texts := find(given)) else _NONE


def _reader(where: str, name: str, value: Mapping[str, Any], schema: Located | None, document: Document) -> Any:
    style = value.get("style", _STYLES[where])
    explode = value.get("explode", style == "form") is True
    types, find = Types(document), _all(where, name)
    of = types.of(schema)
    if schema is not None and "object" in of and not of & {"string"}:
        return _object(style, explode, name, find, types.properties(schema))
    if style not in _SEPARATORS:
        raise ValueError(f"the parameter {name} has the style {style!r}, which is not read here for its type")
    if schema is not None and "array" in of:
        item = types.convert(document.find(schema, "items"))
        return _array(find, item, None if explode and style == "form" else _SEPARATORS[style])
    convert = types.convert(schema)

    def one(given: Given) -> Any:
        texts = find(given)
        return _NONE if not texts else convert(texts[0]) if len(texts) == 1 else [convert(text) for text in texts]

    return one


def _array(find: Callable[[Given], list[str]], item: Callable[[str], Any], separator: str | None) -> Any:
    def read(given: Given) -> Any:
        texts = find(given)
        if not texts:
            return _NONE
        if separator is not None:
            texts = [part.strip() for text in texts for part in text.split(separator)]
        return [item(text) for text in texts]

    return read


def _object(
    style: str, explode: bool, name: str, find: Callable[[Given], list[str]], properties: dict[str, Any]
) -> Callable[[Given], Any]:
    def typed(pairs: Pairs) -> Any:
        return {key: properties.get(key, _text)(value) for key, value in pairs} if pairs else _NONE

    if style == "deepObject":
        opening = name + "["
        return lambda given: typed(
            [
                (key[len(opening) : -1], value)
                for key, value in given.query
                if key.startswith(opening) and key[-1] == "]"
            ]
        )
    if style == "form" and explode:
        return lambda given: typed([(key, value) for key, value in given.query if key in properties])

    def read(given: Given) -> Any:
        texts = find(given)
        if not texts:
            return _NONE
        parts = texts[0].split(",")
        if explode:
            return typed([(key, value) for key, _, value in (part.partition("=") for part in parts)])
        return typed(list(zip(parts[::2], parts[1::2], strict=False)))

    return read


def _text(value: str) -> str:
    return value


def query_of(query: bytes, most: int) -> list[tuple[str, str]]:
    """ValueError: more than `most` parameters."""
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=most) if query else []


def cookies_of(value: str | None) -> list[tuple[str, str]]:
    parts = (part.strip().partition("=") for part in (value or "").split(";"))
    return [(name, text.strip('"')) for name, found, text in parts if found]
