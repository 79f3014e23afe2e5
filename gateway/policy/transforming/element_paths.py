"""Paths into XML: a small part of XPath, by local names, so that no prefix hides what is looked for.

`/order/customer/card`, `//password`, `/order/*/@id`, `//card/@number`. A name matches in every namespace. Loaded
only where a step reads XML.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from lxml import etree

Element = etree._Element
Change = Callable[[str], str | None]  # the new text; None: the element or attribute goes

_NAME: Final = r"[A-Za-z_\u0080-\U0010ffff][\w.\u0080-\U0010ffff-]*+"
_PATH: Final = re.compile(rf"(?P<way>(?://?(?:{_NAME}|\*))*+)(?P<attribute>//?@(?:{_NAME}|\*))?+")
_STEP: Final = re.compile(rf"(//?)(@?)({_NAME}|\*)")
_LONGEST: Final = 32  # steps


def check(path: str) -> None:
    """ValueError for a path that cannot be read."""
    match = _PATH.fullmatch(path)
    if match is None or not path:
        raise ValueError(f"{path!r} is no path; write /order/card, //password, /order/*/@id")
    if len(_STEP.findall(path)) > _LONGEST or path.count("//") > 3:
        raise ValueError(f"{path!r} has more than {_LONGEST} steps, or more than 3 that search at any depth")


def changer(path: str, change: Change) -> Callable[[Element], Element | None]:
    """A function that changes every element or attribute of a document that the path names, in place; None when the
    root itself went. An element that is changed keeps nothing but its name and the new text."""
    check(path)
    way = "".join(_xpath(*step) for step in _STEP.findall(path) if not step[1])
    attribute = next((step for step in _STEP.findall(path) if step[1]), None)
    if attribute is None:
        return _elements(etree.XPath(way), change)
    axis = "/descendant-or-self::*" if attribute[0] == "//" else ""
    parents = way + axis if way else "/descendant-or-self::*"
    return _attributes(etree.XPath(parents), attribute[2], change)


def _xpath(slashes: str, _at: str, name: str) -> str:
    test = "*" if name == "*" else f'*[local-name()="{name}"]'
    return f"{'/descendant::' if slashes == '//' else '/'}{test}"


def _elements(find: etree.XPath, change: Change) -> Callable[[Element], Element | None]:
    def apply(root: Element) -> Element | None:
        found: Any = find(root)
        for element in reversed(found):
            text = change("".join(element.itertext()))
            if text is None:
                if element is root:
                    return None
                _drop(element)
            else:
                tail = element.tail
                element.clear()
                element.tail = tail
                element.text = text
        return root

    return apply


def _drop(element: Element) -> None:
    """The text behind it stays."""
    parent, before = element.getparent(), element.getprevious()
    assert parent is not None
    if element.tail:
        if before is not None:
            before.tail = (before.tail or "") + element.tail
        else:
            parent.text = (parent.text or "") + element.tail
    parent.remove(element)


def _attributes(find: etree.XPath, name: str, change: Change) -> Callable[[Element], Element | None]:
    def apply(root: Element) -> Element | None:
        found: Any = find(root)
        for element in found:
            for tag in [tag for tag in element.attrib if name in ("*", etree.QName(tag).localname)]:
                text = change(str(element.attrib[tag]))
                if text is None:
                    del element.attrib[tag]
                else:
                    element.set(tag, text)
        return root

    return apply
