"""Durations as documents write them."""

import pytest

from gateway.core.durations import seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("5s", 5), ("250ms", 0.25), ("1m", 60), ("1.5h", 5400), ("7d", 604_800), (" 2s ", 2)]
)
def test_a_duration_is_read_in_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "0s", "1 s", "1e3s", "1w", "1s1s", "٣s", "nan", "1s\n2"])
def test_what_is_no_duration_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(ValueError, match="such as 250ms, 5s or 1m"):
        seconds(text)
