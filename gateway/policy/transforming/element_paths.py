"""Paths into XML: a small part of XPath, by local names, so that no prefix hides what is looked for.

`/order/customer/card`, `//password`, `/order/*/@id`, `//card/@number`. A name matches in every namespace. Loaded
only where a step reads XML.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lxml import etree

Element = etree._Element
Find = Callable[[Element], list[Element]]
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
    steps = _STEP.findall(path)
    way = [(slashes == "//", name) for slashes, at, name in steps if not at]
    attribute = next((step for step in steps if step[1]), None)
    if attribute is None:
        return _elements(_finder(way, below=False), change)
    below = attribute[0] == "//" or not way
    return _attributes(_finder(way, below=below), attribute[2], change)


def _finder(way: list[tuple[bool, str]], *, below: bool) -> Find:
    """A function to the elements at the end of a way, in their order; `below`: and to all within them. A way is steps:
    at any depth or not, local name or `*`. One look at each element, whatever the document: XPath takes the square of
    their number where elements of one name stand within one another."""
    end = len(way)

    def find(root: Element) -> list[Element]:
        found = []
        stack = [(root, 1, 1)]  # element; bits of the steps that its parent ends, and that any ancestor does
        while stack:
            element, near, far = stack.pop()
            name = etree.QName(element).localname
            ends = 0
            for index, (deep, wanted) in enumerate(way):
                if (far if deep else near) >> index & 1 and wanted in ("*", name):
                    ends |= 2 << index
            far |= ends
            if (far if below else ends) >> end & 1:
                found.append(element)
            stack += [(child, ends, far) for child in reversed(element)]
        return found

    return find


def _elements(find: Find, change: Change) -> Callable[[Element], Element | None]:
    def apply(root: Element) -> Element | None:
        for element in reversed(find(root)):
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


def _attributes(find: Find, name: str, change: Change) -> Callable[[Element], Element | None]:
    def apply(root: Element) -> Element | None:
        for element in find(root):
            for tag in [tag for tag in element.attrib if name in ("*", etree.QName(tag).localname)]:
                text = change(str(element.attrib[tag]))
                if text is None:
                    del element.attrib[tag]
                else:
                    element.set(tag, text)
        return root

    return apply
