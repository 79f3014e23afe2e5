"""Paths at any depth, in bodies that are nested so that many ways lead to one place."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from gateway.policy.transforming import element_paths, value_paths


def _nested(inner: Any, names: str) -> Any:
    for name in reversed(names):
        inner = {name: inner}
    return inner


def test_what_many_ways_lead_to_is_changed_once() -> None:
    """30 kB of it kept the loop busy for seconds: each level of `a` times each of `b` looked at all that is below."""
    seen: list[Any] = []
    apply = value_paths.changer(value_paths.parse("$..a..b..c"), lambda value: seen.append(value) or value)
    value = _nested({"c": 1}, "a" * 20 + "b" * 20)
    apply(value)
    assert seen == [1]


def test_elements_within_elements_of_the_same_name_are_looked_at_once() -> None:
    """300 kB of it took a minute and a half."""
    names = ["a"] * 40 + ["b"] * 40
    text = "".join(f"<{name}>" for name in names) + "<d/>" * 10_000 + "".join(f"</{name}>" for name in reversed(names))
    seen: list[str] = []
    root = etree.fromstring(text)
    element_paths.changer("//a//b//d", lambda value: seen.append(value) or "*")(root)
    assert len(seen) == 10_000


NAMES = st.sampled_from("ab")
TREES = st.recursive(NAMES.map(lambda name: (name, [])), lambda kids: st.tuples(NAMES, st.lists(kids, max_size=3)))
PATHS = st.lists(st.tuples(st.sampled_from(["/", "//"]), st.sampled_from("ab*")), min_size=1, max_size=3)


def _element(tree: Any) -> etree._Element:
    element = etree.Element(tree[0], id="x")
    element.extend([_element(kid) for kid in tree[1]])
    return element


def _xpath(path: list[tuple[str, str]]) -> str:
    return "".join(("/descendant::" if slashes == "//" else "/") + name for slashes, name in path)


@given(TREES, PATHS)
def test_elements_are_those_that_xpath_finds(tree: Any, path: list[tuple[str, str]]) -> None:
    root = _element(tree)
    way = [(slashes == "//", name) for slashes, name in path]
    assert element_paths._finder(way, below=False)(root) == root.xpath(_xpath(path))
    assert element_paths._finder(way, below=True)(root) == root.xpath(_xpath(path) + "/descendant-or-self::*")
