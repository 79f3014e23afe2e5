"""A gateway of services in memory for each test."""

from __future__ import annotations

import pytest

from tests.policy.policy_harness import Gateway


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()
