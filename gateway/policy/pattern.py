"""`pattern`: expressions that the path, the query and header fields must match, or must not.

`{use: pattern, with: {rules: [{deny: "(?i)<script", in: [query, path]}, {allow: "^[A-Z]{3}$", in: ["query:unit"]}]}}`.
Path and query are looked at decoded, as backends read them, and as they came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, unquote

from pydantic import Field, field_validator

from gateway.core import headers
from gateway.core.errors import Detail
from gateway.core.exchange import Exchange, Head
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.content.inspection import MOST, Inspection, Settings
from gateway.policy.content.pattern_rules import Rule, found, judge, some

_PARAMETERS = 1000  # of one query

Texts = Callable[[Head], Iterator[tuple[str, str]]]


class HeadRule(Rule):
    in_: tuple[str, ...] = Field(
        ("query",), alias="in", min_length=1, description="path, query, query:NAME, header:NAME"
    )

    @field_validator("in_")
    @classmethod
    def _known(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        for each in places:
            texts_of(each)
        return places


class Pattern(Settings):
    rules: tuple[HeadRule, ...] = Field(description="a message that breaks one is refused")

    _some = field_validator("rules")(some)


def build(config: Pattern, site: Site) -> Built:
    inspection = Inspection(site, config)
    rules = [(judge(rule), [texts_of(place) for place in rule.in_]) for rule in config.rules]

    def findings(head: Head) -> Iterator[Detail | None]:
        for check, places in rules:
            for texts in places:
                for place, text in texts(head):
                    yield check(place, text)

    def inspect(exchange: Exchange) -> None:
        try:
            wrong = found(findings(exchange.head))[:MOST]
        except ValueError:
            wrong = [Detail("query", f"has more than {_PARAMETERS} parameters", "limit")]
        inspection.refuse(exchange, wrong)

    return Built(step=inspect)


def texts_of(place: str) -> Texts:
    """What stands at a place of a request, each text with the place as it is told. ValueError: there is no such."""
    kind, _, name = place.partition(":")
    if kind == "path" and not name:
        return _path
    if kind == "query" and ":" not in place:
        return _query
    if kind == "query" and name:
        return lambda head: ((f"query.{name}", value) for key, value in _pairs(head) if key == name)
    if kind == "header" and name:
        headers.line(name.encode("ascii", "replace"), b"")
        find = headers.finder(name.lower().encode())
        return lambda head: ((f"header.{name}", value.decode("latin-1")) for value in find(head.block))
    raise ValueError(f"`{place}` is no place; write path, query, query:NAME or header:NAME")


def _path(head: Head) -> Iterator[tuple[str, str]]:
    raw = head.path.decode("latin-1")
    yield "path", raw
    if "%" in raw:
        yield "path", unquote(raw)


def _query(head: Head) -> Iterator[tuple[str, str]]:
    if head.query:
        yield "query", head.query.decode("latin-1")
        for name, value in _pairs(head):
            yield "query", name
            yield f"query.{name[:100]}", value


def _pairs(head: Head) -> list[tuple[str, str]]:
    if not head.query:
        return []
    return parse_qsl(head.query.decode("latin-1"), keep_blank_values=True, max_num_fields=_PARAMETERS)


KIND = Kind(
    "pattern",
    Pattern,
    build,
    summary="Expressions that path, query and header fields must match, or must not",
    family="validation",
    example={"rules": [{"deny": "(?i)<script", "in": ["query", "path"]}]},
)
