"""Golden pairs of wrong configurations of validation kinds: NAME.in.yaml, and NAME.errors.txt with what is told.

`pytest tests/live/test_dry_validation.py --update-golden` rewrites what is expected: read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.findings import DocumentsRefused, Finding
from tests.live.test_dry_build import findings

GOLDEN = Path(__file__).parent.parent / "golden" / "validation"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))


def told(name: str) -> list[Finding]:
    try:
        return findings((GOLDEN / f"{name}.in.yaml").read_text(), {})
    except DocumentsRefused as refused:
        return list(refused.findings)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_wrong_is_told_with_its_place(name: str, request: pytest.FixtureRequest) -> None:
    text = "".join(f"{finding}\n" for finding in told(name))
    expected = GOLDEN / f"{name}.errors.txt"
    if request.config.getoption("--update-golden"):
        expected.write_text(text)
    assert text == expected.read_text()
