"""The YAML that imports write says what was meant, whatever stands in the source."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.manifest import yaml_reader
from gateway.manifest.imports.draft import component_name, identifier, version_name
from gateway.manifest.imports.yaml_writer import write

TEXT = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    [
        "yes",
        "null",
        "~",
        "1",
        "0x1F",
        "1e5",
        "- a",
        "a: b",
        "a #b",
        "GET /x/{y}",
        "*a",
        "&a",
        "!t",
        "@at",
        "%",
        "",
        "? x",
        "=",
        "<<",
        "1.2.3",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=5), TEXT)
def test_what_is_written_reads_back(value: dict[str, Any], comment: str) -> None:
    text = write(value, {(next(iter(value)),): [comment]}, [comment])
    trees, wrong = yaml_reader.read(text, "made.yaml")
    assert not wrong
    assert [tree.value for tree in trees] == [value]


@given(TEXT, st.sets(st.sampled_from(["a", "a_2", "_1"])))
def test_any_text_makes_a_free_identifier(text: str, taken: set[str]) -> None:
    name = identifier(text, taken)
    assert name.isidentifier()
    assert name not in taken


@given(TEXT)
def test_any_title_names_a_component_and_a_version(text: str) -> None:
    assert component_name(text)[0].isalpha()
    assert version_name(text)[0] == "v"
