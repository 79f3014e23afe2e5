"""XSLT 1.0 stylesheets that can reach nothing and do not run for ever. Loaded only where a step has one.

Reading and writing files and the network are denied; `document()`, imports, includes and extension elements are
refused when the stylesheet is compiled, and of extension functions all but `exsl:node-set`. Into each template and
each `for-each` goes a call that counts it and looks at the time, so that a recursion without end is ended. One
XPath expression cannot be interrupted: its cost is bounded by the size of the body.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, cast

from lxml import etree

from gateway.core.errors import Problem
from gateway.policy.content import xml_reading
from gateway.policy.transforming.rewriting import TooMuch

Element = etree._Element

XSL: Final = "{http://www.w3.org/1999/XSL/Transform}"
_OURS: Final = "urn:penstock:xslt"
_COMMON: Final = "http://exslt.org/common"
_EXTENSIONS: Final = (
    "http://exslt.org/",
    "http://xmlsoft.org/",
    "http://icl.com/saxon",
    "http://saxon.sf.net/",
    "http://xml.apache.org/",
    "org.apache.xalan",
    "http://www.jclark.com/xt",
    "urn:schemas-microsoft-com:xslt",
    _OURS,
)
_REFUSED: Final = frozenset(f"{XSL}{name}" for name in ("import", "include", "document"))
_DOCUMENT: Final = re.compile(r"(?<![\w:.-])document\s*\(")
_FIRST: Final = {f"{XSL}template": f"{XSL}param", f"{XSL}for-each": f"{XSL}sort"}
_METHODS: Final = {"xml": b"application/xml", "html": b"text/html; charset=utf-8", "text": b"text/plain; charset=utf-8"}

TURNS: Final = 500_000  # templates and for-each bodies of one transformation


class _Run:
    """What is left of one transformation."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self.turns = TURNS
        self.ended: TooMuch | None = None


_run: Final[ContextVar[_Run]] = ContextVar("run")


def _turn(_context: object) -> bool:
    run = _run.get()
    run.turns -= 1
    if run.turns < 0 or time.monotonic() > run.until:
        run.ended = TooMuch("does more work than it may" if run.turns < 0 else "takes longer than it may")
        raise run.ended
    return False


class Sheet:
    """A compiled stylesheet; its methods may be called from several threads."""

    def __init__(self, text: str) -> None:
        """ValueError says what is wrong."""
        try:
            root = xml_reading.parse(text.encode())
        except Problem as problem:
            raise ValueError(f"the stylesheet: {problem.detail}") from None
        if root.tag not in (f"{XSL}stylesheet", f"{XSL}transform") or not root.get("version", "").startswith("1."):
            raise ValueError("the stylesheet must be an xsl:stylesheet of version 1.0")
        _check(root)
        self.media_type = _media_type(root)
        _count_turns(root)
        try:
            self._transform = etree.XSLT(
                root,
                extensions={(_OURS, "turn"): cast(Any, _turn)},
                access_control=etree.XSLTAccessControl.DENY_ALL,
            )
        except etree.XSLTParseError as error:
            raise ValueError(f"the stylesheet: {_first(error)}") from None

    def apply(self, root: Element, parameters: Mapping[str, str], seconds: float, size: int) -> bytes:
        """The result, serialised as `xsl:output` says. TooMuch beyond time or size; ValueError where the stylesheet
        does not fit the document, or ends itself by xsl:message."""
        run = _Run(seconds)
        token = _run.set(run)
        given: dict[str, Any] = {name: etree.XSLT.strparam(value) for name, value in parameters.items()}
        try:
            result = bytes(cast(Any, self._transform(root, **given)))
        except TooMuch:
            raise
        except (etree.XSLTApplyError, etree.XPathError) as error:
            if run.ended is not None:
                raise run.ended from None
            raise ValueError(f"the stylesheet does not fit the body: {_first(error)}") from error
        finally:
            _run.reset(token)
        if len(result) > size:
            raise TooMuch(f"makes more than {size} bytes")
        return result


def _first(error: Exception) -> str:
    return str(error).split("\n", maxsplit=1)[0][:300].rstrip(".")


def _check(root: Element) -> None:
    for element in root.iter(etree.Element):
        name = etree.QName(element)
        line = f"line {element.sourceline} of the stylesheet"
        if element.tag in _REFUSED:
            raise ValueError(f"{line}: xsl:{name.localname} is not offered; a stylesheet is one text")
        for attribute, value in element.attrib.items():
            if str(attribute).removeprefix(XSL) == "extension-element-prefixes":
                raise ValueError(f"{line}: extension elements are not offered")
            if _DOCUMENT.search(str(value)):
                raise ValueError(f"{line}: document() is not offered; a stylesheet reads the body alone")
        for uri in element.nsmap.values():
            if str(uri) != _COMMON and str(uri).startswith(_EXTENSIONS):
                raise ValueError(f"{line}: the extensions of {uri} are not offered; only exsl:node-set is")


def _media_type(root: Element) -> bytes:
    output = root.find(f"{XSL}output")
    if output is None:
        return _METHODS["xml"]
    if output.get("encoding", "UTF-8").upper() != "UTF-8":
        raise ValueError("the stylesheet must write UTF-8")
    method = output.get("method", "xml")
    if method not in _METHODS:
        raise ValueError(f"the stylesheet's output method {method!r} is not known; there are {', '.join(_METHODS)}")
    return _METHODS[method]


def _count_turns(root: Element) -> None:
    for element in list(root.iter(*_FIRST)):
        at = 0
        while at < len(element) and element[at].tag == _FIRST[str(element.tag)]:
            at += 1
        turn = etree.Element(f"{XSL}if", nsmap={"penstock": _OURS})
        turn.set("test", "penstock:turn()")
        if at:
            turn.tail, element[at - 1].tail = element[at - 1].tail, None
        else:
            turn.tail, element.text = element.text, None
        element.insert(at, turn)
