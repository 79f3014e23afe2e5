"""Limits that no counter could hold."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.policy.rate_limit import MOST, RateLimit


@pytest.mark.parametrize(
    "config", [{"limit": f"{MOST + 1}/1s"}, {"limit": "9" * 27 + "/1s"}, {"limit": "1/1s", "burst": MOST + 1}]
)
def test_a_limit_beyond_what_counters_hold_is_refused(config: dict[str, Any]) -> None:
    """A limit of 27 digits overflowed the store's script: it told a negative rest and counted nothing."""
    with pytest.raises(ValidationError):
        RateLimit.model_validate(config)


def test_the_largest_limit_is_taken() -> None:
    assert RateLimit.model_validate({"limit": f"{MOST}/1s"}).limit == f"{MOST}/1s"
