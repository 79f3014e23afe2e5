"""A gateway of services in memory for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.policy.policy_harness import Gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    yield made
    await made.outside.close()
