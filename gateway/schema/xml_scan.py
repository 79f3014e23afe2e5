"""One look through an XML document against limits, in slices and without building it (CASES B50).

A document type declaration is always refused: it is where entities come from, and SOAP forbids it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NoReturn
from xml.parsers import expat

from gateway.core.errors import Detail

_FEED: Final = 16_384  # bytes between two looks at the time that others need
_SHOWN: Final = 20  # names of a path


@dataclass(frozen=True, slots=True)
class XmlLimits:
    """Counts of: levels of elements, nodes in all (elements, attributes, texts, comments, instructions), children of
    one element, attributes and namespace declarations of one element, characters of one name, of one attribute's value,
    of one text; bytes of one tag, which is as much as is read at once."""

    depth: int = 64
    nodes: int = 100_000
    children: int = 10_000
    attributes: int = 64
    namespaces: int = 32
    name: int = 256
    value: int = 10_000
    text: int = 100_000
    tag: int = 131_072  # bytes of one tag, comment or instruction
    instructions: bool = False  # processing instructions are allowed


class _BrokenError(Exception):
    def __init__(self, detail: Detail) -> None:
        super().__init__(detail.message)
        self.detail = detail


def scan(data: bytes, limits: XmlLimits, charset: str = "") -> Detail | None:
    """The first thing that is wrong, with its place (`/order/line`); None: the document is sound. `charset`: what the
    media type says, which counts more than the declaration (RFC 7303 section 3.2). Codes: `xml`, `limit`."""
    look = _Look(limits)
    parser = _parser(look, charset)
    if parser is None:
        return Detail("/", f"is in the charset {charset[:40]!r}, which is not read here", "xml")
    try:
        for at in range(0, len(data), _FEED):
            parser.Parse(data[at : at + _FEED], False)
            if at + _FEED - max(parser.CurrentByteIndex, 0) > limits.tag:  # it holds what has not ended
                raise look.unending()
        parser.Parse(b"", True)
    except _BrokenError as broken:
        return broken.detail
    except (expat.ExpatError, ValueError, LookupError) as error:
        return Detail(look.place(), f"is not well-formed XML: {error}", "xml")
    return None


def _parser(look: _Look, charset: str) -> Any:
    known = {"": None, "utf-8": "UTF-8", "utf8": "UTF-8", "us-ascii": "US-ASCII", "iso-8859-1": "ISO-8859-1"}
    known |= {"utf-16": "UTF-16"}
    if charset not in known:
        return None
    parser = expat.ParserCreate(known[charset])
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartElementHandler = look.start
    parser.EndElementHandler = look.end
    parser.CharacterDataHandler = look.text
    parser.CommentHandler = look.comment
    parser.ProcessingInstructionHandler = look.instruction
    parser.StartDoctypeDeclHandler = look.doctype
    return parser


class _Look:
    """`names` are the open elements, `children` their counts, `texts` the characters of the text that is open."""

    def __init__(self, limits: XmlLimits) -> None:
        self.limits = limits
        self.names: list[str] = []
        self.children: list[int] = []
        self.texts: list[int] = []
        self.nodes = 0

    def place(self) -> str:
        shown = self.names[:_SHOWN]
        return "/" + "/".join(name[:60] for name in shown) + ("/…" if len(self.names) > _SHOWN else "")

    def start(self, name: str, attributes: list[str]) -> None:
        limits = self.limits
        self._count(1 + len(attributes) // 2)
        if self.children:
            self.children[-1] += 1
            if self.children[-1] > limits.children:
                self._limit(f"has more than {limits.children} children")
        if len(self.names) >= limits.depth:
            self._limit(f"elements are nested deeper than {limits.depth} levels")
        self._name(name)
        self.names.append(name)
        self.children.append(0)
        self.texts.append(0)
        if attributes:
            self._attributes(attributes)

    def _attributes(self, attributes: list[str]) -> None:
        limits = self.limits
        declared = sum(name == "xmlns" or name.startswith("xmlns:") for name in attributes[::2])
        if declared > limits.namespaces:
            self._limit(f"declares more than {limits.namespaces} namespaces")
        if len(attributes) // 2 - declared > limits.attributes:
            self._limit(f"has more than {limits.attributes} attributes")
        for name, value in zip(attributes[::2], attributes[1::2], strict=True):
            self._name(name)
            if len(value) > limits.value:
                self._limit(f"has an attribute with more than {limits.value} characters")

    def end(self, _name: str) -> None:
        self.names.pop()
        self.children.pop()
        self.texts.pop()

    def text(self, data: str) -> None:
        """Text between the children of one element counts together: comments must not divide it."""
        self._count(1)
        self.texts[-1] += len(data)
        if self.texts[-1] > self.limits.text:
            self._limit(f"has a text with more than {self.limits.text} characters")

    def comment(self, _data: str) -> None:
        self._count(1)

    def instruction(self, target: str, _data: str) -> None:
        self._count(1)
        if not self.limits.instructions:
            self._refuse(f"holds the processing instruction {target[:40]!r}, and none are allowed", "xml")

    def doctype(self, *_declared: Any) -> None:
        self._refuse("holds a document type declaration (DOCTYPE), which is never allowed", "xml")

    def unending(self) -> _BrokenError:
        message = f"a tag, a comment or an instruction has more than {self.limits.tag} bytes"
        return _BrokenError(Detail(self.place(), message, "limit"))

    def _name(self, name: str) -> None:
        if len(name) > self.limits.name:
            self._limit(f"holds a name with more than {self.limits.name} characters")

    def _count(self, more: int) -> None:
        self.nodes += more
        if self.nodes > self.limits.nodes:
            raise _BrokenError(Detail("/", f"the document has more than {self.limits.nodes} nodes", "limit"))

    def _limit(self, message: str) -> NoReturn:
        self._refuse(message, "limit")

    def _refuse(self, message: str, code: str) -> NoReturn:
        raise _BrokenError(Detail(self.place(), message, code))
