"""XML Schemas (XSD 1.0), compiled from texts alone: nothing is fetched, at publish time or later (CASES B50).

Imported by `build` of the kinds that need it: lxml stays out of workers that have no such step.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from lxml import etree

from gateway.core.errors import Detail
from gateway.core.off_loop import aside
from gateway.policy.content.inspection import MOST
from gateway.schema.xml_parser import xml_parser
from gateway.schema.xml_scan import XmlLimits, scan

_XS: Final = "http://www.w3.org/2001/XMLSchema"
_REFERRING: Final = tuple(f"{{{_XS}}}{name}" for name in ("include", "import", "redefine", "override"))
_LIMITS: Final = XmlLimits(250, 1_000_000, 100_000, 512, 128, 1_000, 1_000_000, 9_000_000, 1_048_576, True)
_OF_SCHEMAS: Final = XmlLimits(100, 200_000, 50_000, 64, 64, 1_000, 100_000, 1_000_000, 1_048_576, True)
_HINTS: Final = tuple(
    f"{{http://www.w3.org/2001/XMLSchema-instance}}{name}" for name in ("schemaLocation", "noNamespaceSchemaLocation")
)
_hinting: Final = etree.XPath(
    "//*[@xsi:schemaLocation or @xsi:noNamespaceSchemaLocation]",
    namespaces={"xsi": "http://www.w3.org/2001/XMLSchema-instance"},
)
_SOAP: Final = ("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope")
_value: Final = re.compile(r"The value '.*?' (?=(?:has|is|of|exceeds|does)\b)", re.DOTALL)

Choose = Callable[[Any], Any]


def compiled(schema: str, files: Mapping[str, str], soap_body: bool) -> Callable[[bytes], Sequence[Detail]]:
    """A check of XML documents. `files` are what the schema includes or imports, by their schemaLocation; `soap_body`:
    what the Body of an envelope holds is checked. ValueError: the schema is none, or refers to what is not here."""
    sources = _Sources(files)
    text = sources.flat(schema, "the schema")
    validators = [_schema(text, sources) for _ in range(2)]
    lock = threading.Lock()
    choose = _soap_content if soap_body else _root

    def check(body: bytes) -> Sequence[Detail]:
        """A validator keeps its last errors: the loop has its own, the others take turns."""
        if not aside():
            return _validate(validators[0], body, choose)
        with lock:
            return _validate(validators[1], body, choose)

    return check


class _Sources(etree.Resolver):
    """The texts that a schema is made of, under names without a path, which nothing can resolve to anything else."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._names = {location: f"included-{number}.xsd" for number, location in enumerate(sorted(files))}
        self._texts: dict[str, bytes] = {}
        for location, name in self._names.items():
            self._texts[name] = self.flat(files[location], location)

    def flat(self, text: str, what: str) -> bytes:
        """A schema whose references are names of ours. ValueError for others."""
        data = text.encode()
        if (found := scan(data, _OF_SCHEMAS, "utf-8")) is not None:
            raise ValueError(f"{what}: {found.target} {found.message}")
        root = etree.fromstring(data, xml_parser())
        for element in root.iter(*_REFERRING):
            location = element.get("schemaLocation")
            if location is not None:
                if location not in self._names:
                    raise ValueError(
                        f"{what} refers to {location!r}, and nothing is fetched; add it to `files` under this name"
                    )
                element.set("schemaLocation", self._names[location])
        return etree.tostring(root)

    def resolve(self, system_url: str | None, _public_id: str | None, context: Any) -> Any:
        text = self._texts.get((system_url or "").rpartition("/")[2])
        return self.resolve_empty(context) if text is None else self.resolve_string(text, context)


def _schema(text: bytes, sources: _Sources) -> etree.XMLSchema:
    parser = xml_parser()
    parser.resolvers.add(sources)
    try:
        return etree.XMLSchema(etree.fromstring(text, parser))
    except etree.XMLSchemaParseError as error:
        raise ValueError(f"the schema is none: {str(error).rstrip('.')}") from None


def _validate(schema: etree.XMLSchema, body: bytes, choose: Choose) -> Sequence[Detail]:
    if (found := scan(body, _LIMITS)) is not None:
        return (found,)
    try:
        root = etree.fromstring(body, xml_parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        return (Detail("/", f"is not well-formed XML: {error}", "xml"),)
    for element in _hinting(root):  # by them the validator would be led elsewhere
        for name in _HINTS:
            element.attrib.pop(name, None)
    part = choose(root)
    if part is None:
        return (Detail("/", "holds no SOAP Body with one element", "xml"),)
    if schema.validate(part):
        return ()
    errors = list(schema.error_log)[:MOST]
    return [Detail(error.path or "/", _masked(error.message), "invalid") for error in errors]


def _masked(message: str) -> str:
    """What a client or a backend sent is not told again."""
    return _value.sub("The value ", message).rstrip(".")


def _root(root: Any) -> Any:
    return root


def _soap_content(root: Any) -> Any:
    """The one element in the Body of a SOAP envelope, by itself."""
    for namespace in _SOAP:
        if root.tag == f"{{{namespace}}}Envelope":
            body = root.find(f"{{{namespace}}}Body")
            content = [] if body is None else [child for child in body if isinstance(child.tag, str)]
            return etree.ElementTree(content[0]) if len(content) == 1 else None
    return None
