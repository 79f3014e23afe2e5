"""Which operation of a document a request means: a tree of segments, concrete ones before templated ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

_PART: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(slots=True)
class _Node:
    named: dict[str, _Node] = field(default_factory=dict)
    templated: list[tuple[Callable[[str], Any], tuple[str, ...], _Node]] = field(default_factory=list)
    methods: dict[str, Any] = field(default_factory=dict)


class Paths:
    """Templates such as `/orders/{id}` or `/files/{name}.{type}`; a value per method."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, template: str, method: str, value: Any) -> None:
        node = self._root
        for segment in template.split("/")[1:]:
            node = _below(node, segment)
        node.methods[method] = value

    def find(self, path: str) -> tuple[dict[str, Any], dict[str, str]] | None:
        """The methods at a path, which is percent-encoded, and its parameters, decoded."""
        segments = path.split("/")[1:]
        found = _search(self._root, segments, 0)
        if found is None:
            return None
        node, values = found
        return node.methods, {name: unquote(value) for name, value in values}


def _below(node: _Node, segment: str) -> _Node:
    if not _PART.search(segment):
        return node.named.setdefault(segment, _Node())
    names = tuple(_PART.findall(segment))
    pattern = "".join("([^/]+?)" if index % 2 else re.escape(part) for index, part in enumerate(_PART.split(segment)))
    for _, known, child in node.templated:
        if known == names:
            return child
    child = _Node()
    node.templated.append((re.compile(pattern).fullmatch, names, child))
    return child


def _search(node: _Node, segments: list[str], at: int) -> tuple[_Node, list[tuple[str, str]]] | None:
    if at == len(segments):
        return (node, []) if node.methods else None
    segment = segments[at]
    child = node.named.get(segment)
    if child is not None and (found := _search(child, segments, at + 1)) is not None:
        return found
    for match, names, child in node.templated:
        hit = match(segment)
        if hit is not None and (found := _search(child, segments, at + 1)) is not None:
            return found[0], [*zip(names, hit.groups(), strict=True), *found[1]]
    return None
