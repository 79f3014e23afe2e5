"""What holds for every policy kind."""

from __future__ import annotations

import pytest

from gateway.server.kinds import POLICY_KINDS
from tests.policy.policy_harness import Gateway


@pytest.mark.parametrize("name", POLICY_KINDS)
def test_a_kinds_example_can_be_built(name: str) -> None:
    kind = POLICY_KINDS[name]
    Gateway().build(kind, kind.example)


@pytest.mark.parametrize("name", POLICY_KINDS)
def test_a_kind_describes_itself(name: str) -> None:
    kind = POLICY_KINDS[name]
    assert kind.name == name
    assert kind.summary
    assert not kind.summary.endswith(".")
    assert kind.config.model_config["extra"] == "forbid"
