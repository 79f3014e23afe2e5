"""The reader of pages: what it types, what it writes, and what it takes for expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.pages import Type, Write
from tests.docs.running import Reader


def test_what_stands_in_sh_is_typed_and_the_rest_is_not() -> None:
    text = "```sh\none\n\n# why\ntwo \\\n  more\n```\n```console\nthree\n```\n```yaml\na: 1\n```\n"
    assert list(pages.steps(text)) == [Type("one", 2), Type("two \\\n  more", 5)]


def test_a_fence_behind_a_name_is_a_file_and_its_addition() -> None:
    text = "`a/b.yaml`:\n\n```yaml\nx: 1\n```\n\nMore in `a/b.yaml`, added:\n\n```yaml\ny: 2\n```\n"
    assert list(pages.steps(text)) == [Write("a/b.yaml", "x: 1\n", False), Write("a/b.yaml", "y: 2\n", True)]


def test_expectations_stand_behind_a_command() -> None:
    text = "```sh\ncurl x  # 404, details\npenstock plan api   # exit 2: changes\necho 200 # 300\n```\n"
    assert [(each.status, each.code) for each in pages.steps(text) if isinstance(each, Type)] == [
        (404, 0), (None, 2), (None, 0),
    ]  # fmt: skip


def test_a_quote_and_a_here_document_go_on_over_lines() -> None:
    text = "```sh\necho 'a\nb'\ncat > f <<'END'\nx\nEND\nls\n```\n"
    assert [each.text for each in pages.steps(text) if isinstance(each, Type)] == [
        "echo 'a\nb'", "cat > f <<'END'\nx\nEND", "ls",
    ]  # fmt: skip


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pages, "GUIDE", tmp_path)
    return tmp_path


def _read(guide: Path, text: str) -> None:
    (guide / "page.md").write_text(text)
    folder = guide / "reader"
    folder.mkdir()
    with Reader(folder) as reader:
        reader.read("page.md")


def test_variables_and_the_folder_last_from_one_command_to_the_next(guide: Path) -> None:
    _read(
        guide,
        "`f`:\n\n```yaml\nx\n```\n```sh\nmkdir d && cd d\nA=$(cat ../f)\ntest $A = x\ntest $A = y  # exit 1\n```\n",
    )


def test_a_command_that_fails_is_told_with_its_place_and_what_it_printed(guide: Path) -> None:
    with pytest.raises(AssertionError, match=r"exit 3 instead of 0\npage.md:3: sh -c 'echo oh; exit 3'\noh"):
        _read(guide, "```sh\ntrue\nsh -c 'echo oh; exit 3'\n```\n")


def test_a_status_that_is_not_the_written_one_fails(guide: Path) -> None:
    with pytest.raises(AssertionError, match=r"0 instead of 200|exit 7 instead of 0"):
        _read(guide, "```sh\ncurl -s http://127.0.0.1:8080/  # 200\n```\n")


def test_what_a_page_continues_is_done_first(guide: Path) -> None:
    (guide / "first.md").write_text("```sh\nA=1\n```\n")
    _read(guide, "<!-- continues first.md -->\n```sh\ntest $A = 1\n```\n")
