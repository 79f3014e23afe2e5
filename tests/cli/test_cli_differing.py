"""How a difference reads: by section, one sign each, colour on a terminal alone."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gateway.cli import output
from gateway.cli.differing import differences, section_of

ITEMS: list[dict[str, Any]] = [
    {"path": "operations.a", "before": 1},
    {"path": "policies[k].with.limit", "before": 1, "after": 2},
    {"path": "operations.b", "after": None},
]


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> str:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, color_system="standard" if terminal else None, width=100)
    monkeypatch.setattr(output, "out", console)
    differences(ITEMS)
    return written.getvalue()


def test_what_is_new_gone_and_changed_has_a_sign_under_its_section(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, terminal=False).splitlines() == [
        "operations",
        "  - operations.a: 1",
        "  + operations.b: null",
        "policies",
        "  ~ policies[k].with.limit",
        "      - 1",
        "      + 2",
    ]


def test_signs_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, terminal=True)
    for colour, line in (("31", "  - operations.a"), ("32", "  + operations.b"), ("33", "  ~ policies")):
        assert f"\x1b[{colour}m{line}" in text


def test_a_section_of_many_versions_is_that_of_one() -> None:
    assert section_of({"path": "versions[shop@v1.2].policies[k].with"}) == "versions[shop@v1.2].policies"
    assert section_of({"path": "base_path"}) == "base_path"
    assert section_of({"path": ""}) == "everything"
