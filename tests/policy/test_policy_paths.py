"""JSON Pointers, paths into values and paths into elements."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.content import xml_reading
from gateway.policy.transforming import element_paths, json_pointer, value_paths

ORDER: Any = {"a": {"b": [{"c": 1, "d": 2}, {"c": 3}], "c": 4}, "c": {"c": 5}, "odd name": 6}


def changed(path: str, value: Any) -> Any:
    value_paths.changer(value_paths.parse(path), lambda _part: "X")(value)
    return value


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.a.c", {"a": {"b": [{"c": 1}], "c": "X"}, "c": 2}),
        ("$.c", {"a": {"b": [{"c": 1}], "c": 4}, "c": "X"}),
        ("$['c']", {"a": {"b": [{"c": 1}], "c": 4}, "c": "X"}),
        ("$.a.b[*].c", {"a": {"b": [{"c": "X"}], "c": 4}, "c": 2}),
        ("$.a.b[-1]", {"a": {"b": ["X"], "c": 4}, "c": 2}),
        ("$..c", {"a": {"b": [{"c": "X"}], "c": "X"}, "c": "X"}),
        ("$.a..c", {"a": {"b": [{"c": "X"}], "c": "X"}, "c": 2}),
        ("$.*", {"a": "X", "c": "X"}),
        ("$..[0]", {"a": {"b": ["X"], "c": 4}, "c": 2}),
        ("$.none.c", {"a": {"b": [{"c": 1}], "c": 4}, "c": 2}),
    ],
)
def test_a_path_changes_what_it_names_and_nothing_else(path: str, expected: Any) -> None:
    assert changed(path, {"a": {"b": [{"c": 1}], "c": 4}, "c": 2}) == expected


def test_a_member_within_one_that_is_taken_out_is_no_trouble() -> None:
    value = {"c": {"c": {"c": 1}}, "l": [{"c": 1}, 2]}
    value_paths.changer(value_paths.parse("$..c"), lambda _part: value_paths.REMOVED)(value)
    assert value == {"l": [{}, 2]}


@pytest.mark.parametrize(
    "path",
    ["", "$", "a", "$.", "$a", "$..", "$[", "$[a]", "$['a]", "$.a[1:2]", "$[?(@.a)]", "$" + ".a" * 40, "$..a..b..c..d"],
)
def test_a_path_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"\$|path"):
        value_paths.parse(path)


@given(st.text(max_size=12))
def test_every_name_can_be_written_in_quotes(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    assert changed(f"$['{quoted}']", {name: 1}) == {name: "X"}


@given(st.lists(st.text(max_size=6), min_size=1, max_size=5), st.integers())
def test_what_a_pointer_sets_it_finds(steps: list[str], part: int) -> None:
    value: Any = {}
    parsed = json_pointer.parse(json_pointer.write(tuple(steps)))
    json_pointer.put(value, parsed, part)
    assert json_pointer.find(value, parsed) == part
    assert json_pointer.remove(value, parsed) == part
    assert json_pointer.find(value, parsed) is json_pointer.ABSENT


def test_a_pointer_edits_lists_and_keeps_the_order_of_members() -> None:
    value: Any = {"a": [1, 2], "b": 3, "c": 4}
    json_pointer.put(value, ("a", "-"), 9)
    json_pointer.put(value, ("a", "0"), 7)
    json_pointer.rename(value, ("b",), "z")
    assert list(value.items()) == [("a", [7, 2, 9]), ("z", 3), ("c", 4)]
    for steps in (("a", "9"), ("a", "x"), ("z", "q")):
        with pytest.raises(json_pointer.CannotStand):
            json_pointer.put(value, steps, 1)


@pytest.mark.parametrize("pointer", ["", "a", "/a~2", "/" + "/a" * 40])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(ValueError, match=r"JSON Pointer|steps"):
        json_pointer.parse(pointer)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/o/card", b'<o xmlns:p="urn:p"><card>X</card>t<p:card a="1">n<card/></p:card></o>'),
        ("//card", b'<o xmlns:p="urn:p"><card>X</card>t<p:card>X</p:card></o>'),
        ("//card/@a", b'<o xmlns:p="urn:p"><card n="5">1<b/>2</card>t<p:card a="X">n<card/></p:card></o>'),
        ("//@n", b'<o xmlns:p="urn:p"><card n="X">1<b/>2</card>t<p:card a="1">n<card/></p:card></o>'),
        ("/o/*/@*", b'<o xmlns:p="urn:p"><card n="X">1<b/>2</card>t<p:card a="X">n<card/></p:card></o>'),
    ],
)
def test_an_element_path_matches_in_every_namespace(path: str, expected: bytes) -> None:
    """A prefix hides nothing."""
    root = xml_reading.parse(b'<o xmlns:p="urn:p"><card n="5">1<b/>2</card>t<p:card a="1">n<card/></p:card></o>')
    made = element_paths.changer(path, lambda _text: "X")(root)
    if path == "/o/card":  # by its local name, so the other one as well
        expected = b'<o xmlns:p="urn:p"><card>X</card>t<p:card>X</p:card></o>'
    assert made is not None
    assert xml_reading.serialise(made).partition(b"\n")[2] == expected


def test_an_element_that_goes_leaves_the_text_behind_it() -> None:
    root = xml_reading.parse(b"<o>a<x/>b<x/>c</o>")
    made = element_paths.changer("//x", lambda _text: None)(root)
    assert made is not None
    assert xml_reading.serialise(made).partition(b"\n")[2] == b"<o>abc</o>"


@pytest.mark.parametrize("path", ["", "a", "/", "/a[1]", "/a/", "///a", "/@a/b", "//a/text()", "/a:b", "//a//b//c//d"])
def test_an_element_path_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|steps"):
        element_paths.check(path)
