"""The resource path and the query of an OData URL, by the ABNF of OData 4.01: split first, percent-decoded strictly
then. What the standard defines and this service does not do is 501, what is wrong is 400, what is not there 404."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.core.errors import BadRequest, NotFound, NotImplementedHere

_ESCAPES: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SEGMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\((.*)\))?", re.DOTALL)
_ARGUMENT: Final = re.compile(r"(?:[^',()\[\]{}]|'(?:[^']|'')*+')++")
_NAMED: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)
_SERVED: Final = ("$filter", "$select", "$orderby", "$top", "$skip", "$count", "$format", "$skiptoken")
_DEFINED: Final = (
    "$expand",
    "$search",
    "$apply",
    "$compute",
    "$id",
    "$deltatoken",
    "$levels",
    "$index",
    "$schemaversion",
)
_PLAIN: Final = {name[1:]: name for name in (*_SERVED, *_DEFINED)}


@dataclass(frozen=True, slots=True)
class Segment:
    """`arguments` by name, or one under the empty name; None without parentheses."""

    name: str
    arguments: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Url:
    """`options` are system query options by their full name, `aliases` parameters that begin with @."""

    segments: tuple[Segment, ...]
    options: Mapping[str, str]
    aliases: Mapping[str, str]

    def value(self, text: str) -> str:
        """A literal, or what its alias stands for. BadRequest for an alias that is not given."""
        if not text.startswith("@"):
            return text
        if text not in self.aliases:
            raise BadRequest(f"The parameter alias {text[:60]} is not among the query options.", target=text[:60])
        return self.aliases[text]


def decoded(raw: bytes, place: str) -> str:
    """Percent-decoded UTF-8. BadRequest for anything else."""
    if _ESCAPES.search(raw):
        raise BadRequest(f"{place} holds a percent sign without two hexadecimal digits. Write it %25.", target=place)
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(f"{place} is not UTF-8.", target=place) from None


def parse(path: bytes, query: bytes) -> Url:
    """`path` is the raw path below the service root."""
    parts = [decoded(part, "The path") for part in path.strip(b"/").split(b"/")]
    if len(parts) > 8:
        raise BadRequest("The path has more parts than any resource here.")
    options, aliases = query_options(query)
    return Url((_segment(parts[0]), *(_inner_segment(part) for part in parts[1:])), options, aliases)


def _segment(text: str) -> Segment:
    if text in ("$batch", "$entity", "$all", "$crossjoin", "$ref", "$value", "$links"):
        raise NotImplementedHere(f"{text} is not supported here.")
    if text.startswith("$"):
        return Segment(text)
    found = _SEGMENT.fullmatch(text)
    if found is None:
        raise NotFound(f"There is no resource {text[:80]!r} here.")
    return Segment(found[1], None if found[2] is None else _arguments(found[2]))


def _inner_segment(text: str) -> Segment:
    """Behind a set 4.01 allows any text, as a key."""
    if not text.startswith("$") and _SEGMENT.fullmatch(text) is None:
        raise NotImplementedHere("Keys as segments are not supported here. Write them in parentheses.")
    return _segment(text)


def _arguments(text: str) -> dict[str, str]:
    """`1`, `'a,b'`, `Key=1,Line=2`."""
    arguments: dict[str, str] = {}
    for part in _split(text) if text.strip() else ():
        found = _NAMED.fullmatch(part)
        name, value = (found[1], found[2].strip()) if found else ("", part)
        if name in arguments:
            raise BadRequest(f"{name or 'The key'} is given twice.", target=name or None)
        arguments[name] = value
    return arguments


def _split(text: str) -> list[str]:
    """At commas outside of quotes."""
    parts, position = [], 0
    while True:
        found = _ARGUMENT.match(text, position)
        if found is None:
            raise BadRequest(f"{text[position : position + 40]!r} is no key or parameter. Quotes within are doubled.")
        parts.append(found[0].strip())
        position = found.end()
        if position == len(text):
            return parts
        if text[position] != ",":
            raise NotImplementedHere("Lists and objects in parentheses are not supported; use a parameter alias.")
        position += 1


def query_options(query: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """System query options by their full name, and parameter aliases. BadRequest, NotImplementedHere."""
    options: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for part in filter(None, query.split(b"&")):
        raw_name, _, raw_value = part.partition(b"=")
        written = decoded(raw_name, "The query")
        name = _system_name(written)
        if not name.startswith(("$", "@")):
            continue  # a custom option is nobody's here (Protocol, 11.2.1)
        into = aliases if name.startswith("@") else options
        if name in into:
            raise BadRequest(f"{name} is given twice.", target=name)
        into[name] = decoded(raw_value, name)
    return options, aliases


def _system_name(written: str) -> str:
    """With its dollar sign, which 4.01 lets out. NotImplementedHere for options that nothing here serves."""
    lower = written.lower()
    name = _PLAIN.get(lower, lower if written.startswith("$") else written)
    if name.startswith("$") and name not in _SERVED:
        raise NotImplementedHere(
            f"The query option {name[:40]} is not supported here; these are: {', '.join(_SERVED)}.", target=name[:40]
        )
    return name
