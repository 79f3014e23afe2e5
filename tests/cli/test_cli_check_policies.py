"""Policies and plans are checked at the lines at which they were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.offline import compiled
from gateway.core.findings import DocumentsRefused

WRONG = """
kind: Plan
name: silver
policies:
  - {id: minute, use: rate-limit, with: {limit: 10 per minute}}
---
kind: Policy
name: rules
steps:
  - {use: api-kee}
  - {use: anonymous, when: {methd: GET}}
"""


def test_steps_of_plans_and_policies_are_refused_at_their_own_lines(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG)
    with pytest.raises(DocumentsRefused) as refused:
        compiled([file], [], None)
    places = [(finding.place.line, finding.code) for finding in refused.value.findings]
    assert places == [(5, "invalid_setting"), (10, "unknown_kind"), (11, "invalid_condition")]
