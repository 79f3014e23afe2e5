"""Strict YAML 1.2 (core schema) and JSON, read into plain values with the place of every key and item.

Only what JSON has comes out. Duplicate keys, tags, merge keys, keys that are no text and values without a JSON form
are refused; anchors and aliases are understood, but what they unfold to is bounded, so that no bomb can grow.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from gateway.core.findings import Finding, Place

MAX_BYTES: Final = 1024 * 1024  # of one file
MAX_NODES: Final = 50_000  # of one document, aliases unfolded
MAX_DEPTH: Final = 64

_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_LIMITS: Final = (-(2**63), 2**63 - 1)


@dataclass(slots=True)
class Tree:
    """One document: plain values, and for each JSON pointer (RFC 6901) its place; the root's is `""`."""

    value: Any
    places: dict[str, Place]


@dataclass(slots=True)
class _Anchored:
    value: Any
    places: dict[str, Place]
    nodes: int


class _TooLargeError(Exception):
    """Too deep or too many nodes: reading stops."""


def pointer(*keys: str | int) -> str:
    """The JSON pointer of keys (RFC 6901): `/rest/GET ~1orders`."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def read(text: str, label: str, *, as_json: bool = False) -> tuple[list[Tree], list[Finding]]:
    """Every document of a text, with everything that is wrong with it. Empty documents are left out."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 1024} KiB"
        return [], [Finding(Place(label), "size", message, "Split it; a folder is loaded whole.")]
    if text.lstrip().startswith("<"):
        hint = "Bring it in by: penstock import wsdl FILE, or penstock import csdl FILE."
        return [], [Finding(Place(label, 1, 1), "syntax", "this is XML or HTML, neither YAML nor JSON.", hint)]
    if as_json:
        wrong = _json_error(text, label)
        if wrong is not None:
            return [], [wrong]
        text = text.replace("\t", " ")  # in valid JSON a tab is space between tokens; YAML refuses it there
        text = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)  # these can stand in texts only
    reader = _Reader(label)
    trees = list(reader.documents(text))
    return trees, reader.findings


def _json_error(text: str, label: str) -> Finding | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return Finding(Place(label, error.lineno, error.colno), "syntax", f"not JSON: {error.msg}.")
    except (RecursionError, ValueError) as error:
        return Finding(Place(label, 1, 1), "syntax", f"not JSON that can be read: {error}.")
    return None


@dataclass(slots=True)
class _Reader:
    label: str
    findings: list[Finding] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    anchors: dict[str, _Anchored] = field(default_factory=dict)
    events: Iterator[Any] = field(default_factory=lambda: iter(()))
    nodes: int = 0

    def documents(self, text: str) -> Iterator[Tree]:
        yaml = YAML(typ="safe", pure=True)
        self.events = iter(yaml.parse(text))
        try:
            for event in self.events:
                if isinstance(event, ev.DocumentStartEvent):
                    self.places, self.anchors, self.nodes = {}, {}, 0
                    value = self.node(next(self.events), "", 0)
                    if value is not None:
                        yield Tree(value, self.places)
        except _TooLargeError:
            return
        except MarkedYAMLError as error:
            self.syntax(error)
        except ReaderError as error:
            self.character(text, error)
        except YAMLError as error:
            words = " ".join(str(error).split())
            self.findings.append(Finding(Place(self.label), "syntax", f"not YAML: {words}."))

    def character(self, text: str, error: ReaderError) -> None:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        code = error.character if isinstance(error.character, int) else ord(error.character)
        hint = f'In quotes write "\\u{code:04X}".' if code < 0xD800 else ""
        message = f"not YAML: the character U+{code:04X} cannot stand there."
        self.findings.append(Finding(Place(self.label, line, column), "syntax", message, hint))

    def syntax(self, error: MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        hint = "Indent with spaces, never with tabs." if "'\\t'" in words else ""
        if "flow mapping" in words and "'{'" in words:
            hint = "Inside of { } a text that has braces itself needs quotes around it."
        self.findings.append(Finding(self.at(mark, ""), "syntax", f"not YAML: {words}.", hint))

    def at(self, mark: Any, path: str) -> Place:
        return Place(self.label, mark.line + 1, mark.column + 1, path) if mark else Place(self.label, path=path)

    def refuse(self, event: Any, path: str, code: str, message: str, hint: str = "") -> None:
        self.findings.append(Finding(self.at(event.start_mark, path), code, message, hint))

    def count(self, event: Any, path: str, depth: int, nodes: int = 1) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            what = f"deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"larger than {MAX_NODES} values"
            hint = "Aliases count as what they stand for; write less, or split the document."
            self.refuse(event, path, "size", f"the document is {what}.", hint)
            raise _TooLargeError

    def node(self, event: Any, path: str, depth: int) -> Any:
        self.places.setdefault(path, self.at(event.start_mark, path))
        if isinstance(event, ev.AliasEvent):
            return self.alias(event, path, depth)
        self.count(event, path, depth)
        if event.tag not in (None, "!"):
            hint = "Leave it out; quotes make a text, and everything else is read as JSON would."
            self.refuse(event, path, "tag", f"the tag {event.tag} is not allowed.", hint)
        before = self.nodes
        if isinstance(event, ev.ScalarEvent):
            value = self.scalar(event, path)
        elif isinstance(event, ev.SequenceStartEvent):
            value = self.sequence(path, depth)
        else:
            value = self.mapping(path, depth)
        if event.anchor:
            inside = {key[len(path) :]: place for key, place in self.places.items() if _below(key, path)}
            self.anchors[event.anchor] = _Anchored(value, inside, self.nodes - before + 1)
        return value

    def alias(self, event: Any, path: str, depth: int) -> Any:
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            self.refuse(event, path, "alias", f"there is no anchor &{event.anchor} that ends above.")
            return None
        self.count(event, path, depth, anchored.nodes)
        for inside, place in anchored.places.items():
            key = path + inside
            self.places.setdefault(key, Place(place.file, place.line, place.column, key))
        return anchored.value

    def sequence(self, path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), ev.SequenceEndEvent):
            items.append(self.node(event, f"{path}/{len(items)}", depth + 1))
        return items

    def mapping(self, path: str, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self.events), ev.MappingEndEvent):
            key = self.key(event, path, depth)
            where = path + pointer(key)
            first = self.places.get(where)
            if key in entries and first is not None:
                hint = f"It is first on line {first.line}; keep one of them."
                self.refuse(event, where, "duplicate-key", f"the key {key!r} is here twice.", hint)
            self.places[where] = self.at(event.start_mark, where)
            entries[key] = self.node(next(self.events), where, depth + 1)
        return entries

    def key(self, event: Any, path: str, depth: int) -> str:
        if not isinstance(event, ev.ScalarEvent):
            self.refuse(event, path, "key", "a key must be text.", "A value in braces needs quotes around it.")
            self.node(event, path + "/?", depth + 1)
            return "?"
        if event.value == "<<" and event.style is None:
            hint = "Write the entries out; versions inherit with extends."
            self.refuse(event, path, "merge-key", "merge keys (<<) are not part of YAML 1.2.", hint)
        return self.text(event, path)

    def text(self, event: Any, path: str) -> str:
        """JSON writes what is beyond the first 65536 characters as two surrogates, which YAML keeps apart."""
        value: str = event.value
        try:
            return value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.refuse(event, path, "text", "half of a surrogate pair is no character.")
            return ""

    def scalar(self, event: Any, path: str) -> Any:
        value: str = event.value
        if event.style not in (None, "") or event.tag is not None:
            return self.text(event, path)
        if value in _WORDS:
            return _WORDS[value]
        if _INTEGER.fullmatch(value) or _OTHER_BASE.fullmatch(value):
            return self.integer(event, path)
        number = float(value) if _FLOAT.fullmatch(value) else None
        if _NO_NUMBER.fullmatch(value) or number in (math.inf, -math.inf):
            self.refuse(event, path, "number", f"{value} is no number that JSON has.", f'For the text write "{value}".')
            return 0
        return self.text(event, path) if number is None else number

    def integer(self, event: Any, path: str) -> int:
        text: str = event.value
        number = int(text, 0) if text[:2] in ("0o", "0x") else int(text) if len(text) < 25 else 2**64
        if not _LIMITS[0] <= number <= _LIMITS[1]:
            hint = f'For the text write "{text[:40]}".'
            self.refuse(event, path, "number", "a whole number beyond 64 bits.", hint)
            return 0
        return number


def _below(key: str, path: str) -> bool:
    return key.startswith(path + "/")
