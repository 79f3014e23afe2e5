"""What holds for every policy kind."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import gateway.policy
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


SHARED = {"admit", "claims", "fields", "placeholders", "required"}  # of kinds of several families


def test_a_file_in_the_folder_is_a_kind() -> None:
    folder = Path(gateway.policy.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"} - SHARED
    kinds = {name for name in files if hasattr(importlib.import_module(f"gateway.policy.{name}"), "KIND")}
    assert files == kinds
    assert len(kinds) == len(POLICY_KINDS)
