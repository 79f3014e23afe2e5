"""SOAP messages as XML: reading a request's envelope under limits, judging its headers, writing a reply's envelope.

SOAP 1.1 (W3C Note, 2000) and 1.2 (W3C Recommendation, part 1 and the HTTP binding of part 2), narrowed by the WS-I
Basic Profiles. The parser loads no DTD, expands no entity and touches neither network nor files (PROTOCOLS S6).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from lxml import etree

from gateway.core.errors import ContentTooLarge, Problem, UnsupportedMediaType
from gateway.schema.xml_parser import xml_parser

Element = etree._Element


@dataclass(frozen=True, slots=True)
class SoapVersion:
    """What differs between 1.1 and 1.2 in an envelope. `here` are the roles (actors) that this gateway plays,
    beside none at all; `target` is the attribute that names one."""

    number: str
    namespace: str
    media_type: str
    target: str
    here: frozenset[str]

    def tag(self, name: str) -> str:
        return f"{{{self.namespace}}}{name}"


SOAP11: Final = SoapVersion(
    "1.1",
    "http://schemas.xmlsoap.org/soap/envelope/",
    "text/xml",
    "actor",
    frozenset(("http://schemas.xmlsoap.org/soap/actor/next",)),
)
SOAP12: Final = SoapVersion(
    "1.2",
    "http://www.w3.org/2003/05/soap-envelope",
    "application/soap+xml",
    "role",
    frozenset(
        (
            "http://www.w3.org/2003/05/soap-envelope/role/next",
            "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
        )
    ),
)
_BY_NAMESPACE: Final = {version.namespace: version for version in (SOAP11, SOAP12)}
_BY_MEDIA_TYPE: Final = {version.media_type: version for version in (SOAP11, SOAP12)}


class Form(NamedTuple):
    """What a reply must be written in: the version and the charset (`utf-8` or `utf-16`) of the request."""

    version: SoapVersion = SOAP11
    charset: str = "utf-8"

    @property
    def content_type(self) -> bytes:
        return f"{self.version.media_type}; charset={self.charset}".encode()


class MediaType(NamedTuple):
    """A request's Content-Type. `action` is that of SOAP 1.2 (RFC 3902), None when it is not there."""

    version: SoapVersion
    charset: str | None
    action: str | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request's envelope that keeps all rules. `body` is the one child of Body, `headers` the header blocks."""

    form: Form
    headers: tuple[Element, ...]
    body: Element

    @property
    def operation(self) -> etree.QName:
        return etree.QName(self.body)


@dataclass(frozen=True, slots=True)
class EnvelopeLimits:
    """`bytes` as received; `elements` in all; `depth` counts elements from the envelope; the others are per element."""

    bytes: int = 8_388_608
    elements: int = 200_000
    depth: int = 100
    attributes: int = 64
    children: int = 50_000


DEFAULT_LIMITS: Final = EnvelopeLimits()


class MalformedEnvelope(Problem):
    """Not XML, or not the shape of an envelope: HTTP 400 in both versions (Basic Profile R1113)."""

    status, title, code = 400, "The SOAP envelope is malformed", "malformed_envelope"


class VersionMismatch(Problem):
    """An envelope of another SOAP (SOAP 1.2 part 1, section 5.4.7)."""

    status, title, code = 500, "This SOAP version is not spoken here", "version_mismatch"


class MustUnderstand(Problem):
    """Mandatory header blocks that are not understood; `names` are theirs (SOAP 1.2 part 1, section 5.4.8)."""

    status, title, code = 500, "A mandatory SOAP header is not understood", "must_understand"

    def __init__(self, names: Iterable[etree.QName]) -> None:
        self.names = tuple(names)
        listed = ", ".join(name.text for name in self.names)
        super().__init__(f"These header blocks are mandatory and not understood here: {listed}. Leave them out.")


REMEMBERED: Final = 256  # bytes of the longest Content-Type that is not read anew
_TYPE: Final = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*+(?=;|$)")
_PARAMETER: Final = re.compile(
    r"""\s*;\s*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*+)"|([!#$%&'*+.^_`|~0-9A-Za-z:/-]*+)))?\s*+(?=;|$)"""
)
_ESCAPED: Final = re.compile(r"\\(.)")


def media_type(value: bytes | None) -> MediaType:
    """Reads a Content-Type (RFC 9110 section 8.3). UnsupportedMediaType says what to send instead."""
    usual = value is not None and len(value) <= REMEMBERED
    return _known_media_type(value) if usual else _read_media_type(value)


def _read_media_type(value: bytes | None) -> MediaType:
    text = (value or b"").decode("latin-1")
    head = _TYPE.match(text)
    version = _BY_MEDIA_TYPE.get(head[1].lower()) if head else None
    if head is None or version is None:
        raise UnsupportedMediaType(
            f"{text or 'A message without Content-Type'} is not a SOAP message. "
            "Send text/xml for SOAP 1.1 or application/soap+xml for SOAP 1.2."
        )
    parameters: dict[str, str] = {}
    at = head.end()
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None:
            raise UnsupportedMediaType(f"The Content-Type {text} cannot be read.")
        if found[1]:
            quoted = found[2]
            parameters[found[1].lower()] = found[3] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = found.end()
    return MediaType(version, parameters.get("charset"), parameters.get("action"))


_known_media_type: Final = lru_cache(256)(_read_media_type)  # clients send a few again and again

_UTF8_NAMES: Final = frozenset(("utf-8", "utf8", "us-ascii", "ascii"))
_UTF16_NAMES: Final = {"utf-16": "utf-16-be", "utf-16be": "utf-16-be", "utf-16le": "utf-16-le"}
_DECLARATION: Final = re.compile(rb"<\?xml\s[^>]*?\?>")
_ENCODING: Final = re.compile(rb"""\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


def in_utf8(data: bytes, charset: str | None) -> tuple[bytes, str]:
    """A message's bytes as UTF-8, and the charset to reply in: the byte order mark decides, then the media type's
    charset, then the XML declaration (RFC 7303 section 3)."""
    if data.startswith(codecs.BOM_UTF8):
        return data[3:], "utf-8"
    if data.startswith(codecs.BOM_UTF16_LE):
        return _recoded(data[2:], "utf-16-le"), "utf-16"
    if data.startswith(codecs.BOM_UTF16_BE):
        return _recoded(data[2:], "utf-16-be"), "utf-16"
    name = (charset or _declared(data)).lower()
    if name in _UTF8_NAMES:
        return data, "utf-8"
    if name in _UTF16_NAMES:
        return _recoded(data, _UTF16_NAMES[name]), "utf-16"
    raise UnsupportedMediaType(f"The charset {name} is not read here. Send UTF-8 or UTF-16.")


def _declared(data: bytes) -> str:
    declaration = _DECLARATION.match(data)
    encoding = _ENCODING.search(declaration[0]) if declaration else None
    return encoding[1].decode() if encoding else "utf-8"


def _recoded(data: bytes, codec: str) -> bytes:
    try:
        return data.decode(codec).encode()
    except UnicodeError:
        raise MalformedEnvelope("The message is not valid UTF-16.") from None


_NO_DTD: Final = "A SOAP message holds no document type declaration (DTD)."
_NO_INSTRUCTIONS: Final = "A SOAP message holds no processing instructions."
# What may stand before the root element: a declaration, blanks and comments.
_PROLOG: Final = re.compile(rb"(?:<\?xml\s[^>]*?\?>)?+(?:\s++|<!--(?:[^-]|-[^-])*+-->)*+")


class Reader:
    """Parses messages under limits; built at publish time. One parser serves one thread."""

    def __init__(self, limits: EnvelopeLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._parser = xml_parser(encoding="utf-8", remove_comments=True, collect_ids=False)
        self._has_instruction = etree.XPath("boolean(//processing-instruction())")
        self._too_deep = etree.XPath(f"boolean(/{'/'.join('*' * (limits.depth + 1))})")
        self._too_many = etree.XPath(f"boolean(//*[@*[{limits.attributes + 1}]])")
        self._too_wide = etree.XPath(f"boolean(//*[*[{limits.children + 1}]])")

    def parse(self, data: bytes) -> Element:
        """The root element of a UTF-8 document. MalformedEnvelope tells what is refused, and where."""
        if len(data) > self.limits.bytes:
            raise ContentTooLarge(f"A SOAP message may have {self.limits.bytes} bytes here.")
        if data.count(b"<") - data.count(b"</") > self.limits.elements:  # comments and CDATA count as well
            raise ContentTooLarge(f"A SOAP message may have {self.limits.elements} elements here.")
        _refuse_prolog(data)
        try:
            root = etree.fromstring(data, self._parser)
        except etree.XMLSyntaxError as error:
            line, column = error.position
            raise MalformedEnvelope(f"Not well-formed XML: {_reason(error)} (line {line}, column {column}).") from None
        except ValueError as error:
            raise MalformedEnvelope(f"Not well-formed XML: {error}.") from None
        if root.getroottree().docinfo.doctype:
            raise MalformedEnvelope(_NO_DTD)
        self._check(root, data)
        return root

    def _check(self, root: Element, data: bytes) -> None:
        """What a document cannot have without certain bytes is not looked for: most messages cost no walk at all."""
        limits = self.limits
        if data.rfind(b"<?") > 0 and self._has_instruction(root):
            raise MalformedEnvelope(_NO_INSTRUCTIONS)
        if self._too_deep(root):
            raise MalformedEnvelope(f"The message is more than {limits.depth} elements deep.")
        if data.count(b"=") > limits.attributes and self._too_many(root):
            raise MalformedEnvelope(f"An element has more than {limits.attributes} attributes.")
        if data.count(b"<") > limits.children and self._too_wide(root):
            raise MalformedEnvelope(f"An element has more than {limits.children} children.")


def _reason(error: etree.XMLSyntaxError) -> str:
    return (error.msg or "unreadable").split(", line ")[0].strip().rstrip(".")


def _refuse_prolog(data: bytes) -> None:
    """A document type declaration can only stand before the root, so one linear look tells (CASES B50)."""
    prolog = _PROLOG.match(data)
    rest = data[prolog.end() : prolog.end() + 9] if prolog else data[:9]
    if rest.startswith(b"<!DOCTYPE"):
        raise MalformedEnvelope(_NO_DTD)
    if rest.startswith(b"<?"):
        raise MalformedEnvelope(_NO_INSTRUCTIONS)


def version_of(root: Element) -> SoapVersion:
    """The SOAP version by the envelope's namespace. VersionMismatch for an Envelope of another one."""
    name = etree.QName(root)
    if name.localname != "Envelope":
        raise MalformedEnvelope(f"The root element is {name.localname}, not a SOAP Envelope.")
    version = _BY_NAMESPACE.get(name.namespace or "")
    if version is None:
        raise VersionMismatch(
            f"The envelope's namespace is {name.namespace or 'empty'}. "
            f"Spoken here: {SOAP11.namespace} (SOAP 1.1) and {SOAP12.namespace} (SOAP 1.2)."
        )
    return version


def open_envelope(root: Element, form: Form) -> Envelope:
    """The parts of an envelope: at most one Header, then exactly one Body with one child, then nothing
    (Basic Profile R9981, R1011)."""
    version = form.version
    parts = _children(root)
    headers: list[Element] = []
    if parts and parts[0].tag == version.tag("Header"):
        headers = _children(parts.pop(0))
    if not parts or parts[0].tag != version.tag("Body"):
        raise MalformedEnvelope("The Envelope holds an optional Header and then a Body, both in its own namespace.")
    if len(parts) > 1:
        raise MalformedEnvelope(f"Nothing may follow the Body; {etree.QName(parts[1]).localname} does.")
    content = _children(parts[0])
    if len(content) != 1:
        raise MalformedEnvelope(f"The Body holds one element, the operation's; this one holds {len(content)}.")
    return Envelope(form, tuple(headers), content[0])


def _children(element: Element) -> list[Element]:
    """The child elements; text between them may only be blank."""
    children = list(element)
    texts = [element.text, *(child.tail for child in children)]
    if any(text and not text.isspace() for text in texts):
        raise MalformedEnvelope(f"There is text between the elements of {etree.QName(element).localname}.")
    return children


_BOOLEANS: Final = {"0": False, "false": False, "1": True, "true": True}


def not_understood(envelope: Envelope, understood: frozenset[str] = frozenset()) -> list[etree.QName]:
    """The mandatory header blocks that are meant for this node and not among `understood` (names in Clark notation).
    `relay` and blocks for other roles are of no concern here: this is the last node of the path."""
    version = envelope.form.version
    return [
        etree.QName(block)
        for block in envelope.headers
        if _flag(block, version.tag("mustUnderstand")) and _is_for_us(block, version) and block.tag not in understood
    ]


def _is_for_us(block: Element, version: SoapVersion) -> bool:
    role = (block.get(version.tag(version.target)) or "").strip()
    return not role or role in version.here


def _flag(block: Element, name: str) -> bool:
    text = block.get(name, "0").strip()
    if text not in _BOOLEANS:
        raise MalformedEnvelope(f"{etree.QName(name).localname} of {etree.QName(block).localname} is 1 or 0.")
    return _BOOLEANS[text]


def new_envelope(version: SoapVersion) -> tuple[Element, Element]:
    """An empty envelope and its Body."""
    root = etree.Element(version.tag("Envelope"), nsmap={"soap": version.namespace})
    return root, etree.SubElement(root, version.tag("Body"))


def add_header(root: Element, tag: str, nsmap: dict[str | None, str] | None = None) -> Element:
    """A new header block in an envelope of either version; makes the Header when it is the first."""
    name = f"{{{etree.QName(root).namespace}}}Header"
    header = root.find(name)
    if header is None:
        header = etree.Element(name)
        root.insert(0, header)
    return etree.SubElement(header, tag, nsmap=nsmap)


def serialize(root: Element, charset: str) -> bytes:
    """The message in `utf-8` or `utf-16` (with a byte order mark)."""
    data: bytes = etree.tostring(root, encoding=charset, xml_declaration=True)
    return data
