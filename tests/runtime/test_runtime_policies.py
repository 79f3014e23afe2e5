"""Policies in Python: what the registry takes, and what it says to what it does not."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from gateway import Request, Response, policy_kind
from gateway.core.findings import DocumentsRefused, Finding
from gateway.runtime.hosted_policies import hosted_kind
from gateway.runtime.policies import load_policies, read_policy


class Limit(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    most: int = 3


@policy_kind("good", body=True, protects=True, conceals=["X-Password"], example={"most": 4})
class Good:
    """Does good. And more."""

    def __init__(self, config: Limit) -> None:
        self.most = config.most

    async def request(self, request: Request) -> Response | None:
        return None


def findings_of(target: type) -> list[str]:
    findings: list[Finding] = []
    assert read_policy(target, findings) is None
    return [str(each) for each in findings]


def test_a_policy_describes_itself() -> None:
    read = read_policy(Good, [])
    assert read is not None
    assert read.asynchronous
    described = read.described()
    assert described["summary"] == "Does good. And more"
    assert described["config"]["properties"]["most"]["default"] == 3
    assert (described["body"], described["protects"], described["request"], described["response"]) == (
        True,
        True,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "neither `request` nor `response`"),
        ({"request": lambda self: None}, "has other parameters"),
        ({"__init__": lambda self, config: None, "request": lambda self, request: None}, "not annotated"),
        ({"__init__": lambda self, config, more: None, "request": lambda self, request: None}, "more than a config"),
    ],
)
def test_a_class_that_is_no_policy_is_refused_with_the_way_out(members: dict[str, Any], said: str) -> None:
    (finding,) = findings_of(policy_kind("bad")(type("Bad", (), members)))
    assert said in finding
    assert "Write " in finding


def test_a_policy_that_protects_must_be_able_to_refuse() -> None:
    class Silent:
        def response(self, request: Request, response: Response) -> None: ...

    (finding,) = findings_of(policy_kind("silent", protects=True)(Silent))
    assert "which alone can refuse" in finding


def test_settings_that_would_lose_a_misspelt_name_are_refused() -> None:
    class Loose(BaseModel):
        most: int = 1

    class Uses:
        def __init__(self, config: Any) -> None: ...
        def request(self, request: Request) -> None: ...

    Uses.__init__.__annotations__["config"] = Loose
    (finding,) = findings_of(policy_kind("loose")(Uses))
    assert 'extra="forbid"' in finding


def test_a_policy_without_defaults_needs_an_example() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        url: str

    class Uses:
        def __init__(self, config: Any) -> None: ...
        def request(self, request: Request) -> None: ...

    Uses.__init__.__annotations__["config"] = Strict
    (finding,) = findings_of(policy_kind("strict")(Uses))
    assert "needs an example" in finding


@pytest.mark.parametrize("name", ["", "Big", "1st", "a_b", "x" * 64])
def test_a_name_that_documents_could_not_use_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a policy kind"):
        policy_kind(name)


def test_two_policies_of_one_name_are_refused_with_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("two_policies")
    twin = policy_kind("good")(type("Twin", (), {"request": lambda self, request: None}))
    vars(module).update(one=Good, two=twin)
    monkeypatch.setitem(sys.modules, "two_policies", module)
    with pytest.raises(DocumentsRefused, match="Two policies are named good"):
        load_policies(["two_policies"])


def test_no_policy_takes_the_name_of_one_of_the_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("one_policy")
    vars(module).update(one=Good)
    monkeypatch.setitem(sys.modules, "one_policy", module)
    with pytest.raises(DocumentsRefused, match="itself has a policy kind named good"):
        load_policies(["one_policy"], taken=["good"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"most": "x"}, "most"), ({"mots": 1}, "mots"), ({"most": 1.5}, "most")],
)
def test_settings_of_a_policy_that_is_not_imported_are_checked_by_its_schema(
    settings: dict[str, Any], said: str
) -> None:
    read = read_policy(Good, [])
    assert read is not None
    kind = hosted_kind("package", read.described())
    assert kind.config.model_validate({"most": 2})
    with pytest.raises(ValueError, match=said):
        kind.config.model_validate(settings)
