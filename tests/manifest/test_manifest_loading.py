"""Strict loading: what is read, what is refused, and where."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.findings import DocumentsRefused
from gateway.manifest.loading import load, load_text


def refused(text: str, label: str = "a.yaml") -> list[str]:
    with pytest.raises(DocumentsRefused) as caught:
        load_text(text, label)
    return [str(finding) for finding in caught.value.findings]


def test_a_place_is_known_for_every_key_and_item() -> None:
    (loaded,) = load_text("kind: Policy\nname: a\nsteps:\n  - use: cors\n    with: {x: [1]}\n", "a.yaml")
    assert str(loaded.place("steps", 0, "with", "x", 0)) == "a.yaml:5:16 (/steps/0/with/x/0)"


def test_everything_wrong_is_told_at_once() -> None:
    found = refused("kind: Topic\nnam: a\nmax_length: 0\nname: b\nname: c\n")
    assert [line.split(" ")[0] for line in found] == ["a.yaml:2:1", "a.yaml:3:1", "a.yaml:5:1"]


def test_an_alias_stands_for_its_anchor_with_places_of_its_own() -> None:
    text = "kind: Policy\nname: a\nsteps:\n  - &one {use: cors}\n  - *one\n"
    (loaded,) = load_text(text, "a.yaml")
    assert loaded.raw["steps"] == [{"use": "cors"}, {"use": "cors"}]
    assert str(loaded.place("steps", 1, "use")) == "a.yaml:4:11 (/steps/1/use)"


def test_a_bomb_of_aliases_is_refused() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert "larger than 50000 values" in refused("\n".join(levels))[0]


def test_json_may_be_indented_with_tabs_and_hold_surrogate_pairs() -> None:
    (loaded,) = load_text('{"kind": "Topic",\n\t"name": "a", "title": "\\ud83d\\ude00"}', "a.json")
    assert loaded.raw["title"] == "\U0001f600"


def test_yaml_in_a_json_file_is_refused() -> None:
    assert refused("kind: Topic", "a.json") == ["a.json:1:1: not JSON: Expecting value."]


def test_words_of_yaml_1_1_are_text() -> None:
    assert (
        "must be true or false, not the text 'yes'"
        in refused("kind: ApiComponent\nname: a\nversion: v1\nbase_path: /a\ndefault: yes\n")[0]
    )


def test_a_folder_is_loaded_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b.yml", "a.json", "c.yaml", "d.txt"):
        (tmp_path / name).write_text(f'{{"kind": "Topic", "name": "{name[0]}"}}')
    assert [loaded.name for loaded in load([tmp_path])] == ["a", "b", "c"]


def test_a_document_that_is_there_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("kind: Topic\nname: a\n")
    with pytest.raises(DocumentsRefused) as caught:
        load([tmp_path])
    (finding,) = caught.value.findings
    assert finding.place.file.endswith("b.yaml")
    assert "a.yaml:1:1" in finding.hint


def test_a_file_that_is_not_there_or_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"kind: \xff")
    with pytest.raises(DocumentsRefused) as caught:
        load([tmp_path / "a.yaml", tmp_path / "none.yaml"])
    assert [finding.code for finding in caught.value.findings] == ["encoding", "no-file"]


def test_a_file_beyond_the_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# é\n" * 400_000)
    with pytest.raises(DocumentsRefused, match="larger than 1024 KiB"):
        load([tmp_path / "a.yaml"])


def test_a_version_that_extends_another_is_checked_for_what_it_has() -> None:
    text = "kind: ApiComponent\nname: a\nversion: v2\nextends: v1\nsoap: {operations: [b]}\nrest: {GET /x: null}\n"
    (loaded,) = load_text(text, "a.yaml")
    assert loaded.document is None
    assert "unknown key 'bass_path'" in refused(text + "bass_path: /x\n")[0]


def test_documents_of_other_kinds_are_sent_to_the_importers() -> None:
    assert "penstock import wsdl" in refused("<?xml version='1.0'?><definitions/>")[0]
    assert "penstock import openapi" in refused("openapi: 3.1.0\ninfo: {}\n")[0]


def test_a_character_that_yaml_does_not_take_is_named_with_its_place() -> None:
    assert refused("kind: Topic\nname: \x07\n")[0].startswith("a.yaml:2:7: not YAML: the character U+0007")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for label in ("a.yaml", "a.json"):
        with contextlib.suppress(DocumentsRefused):
            load_text(text, label)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.booleans())
def test_json_reads_as_what_it_is(value: Any, ascii_only: bool) -> None:
    document = {"kind": "Policy", "name": "a", "steps": [{"use": "x", "with": {"value": value}}]}
    (loaded,) = load_text(json.dumps(document, ensure_ascii=ascii_only, indent="\t"), "a.json")
    assert loaded.raw == document
