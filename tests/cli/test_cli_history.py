"""What was: revisions of policies and the way back, activations, environments, changelogs, near names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.admin.admin_harness import PLAN, policy, shop
from tests.admin.admin_server import Served, serving
from tests.admin.test_admin_history import RULED
from tests.cli.cli_harness import Ran, penstock, use


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("node")) as served:
        yield served


@pytest.fixture(autouse=True)
def shell_of_it(started: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    use(started, monkeypatch)
    for version in ("v1", "v2", "v10"):
        text = shop(text="hello").replace("version: v1", f"version: {version}")
        Path(f"{version}.yaml").write_text(text)
    assert _published("v1.yaml", "v2.yaml", "v10.yaml").code == 0
    assert _team("blue").code == 0


def _published(*files: str) -> Ran:
    return penstock("publish", *files, "--json")


def _team(team: str) -> Ran:
    Path("team.yaml").write_text(f"{policy(team=team)}---\n{PLAN}")
    return _published("team.yaml")


def test_revisions_of_a_policy_are_compared_and_one_is_brought_back() -> None:
    _team("green")
    last = penstock("policies", "revisions", "team", "--json").json["items"][-1]
    assert last["current"]
    newest = last["revision"]
    ran = penstock("policies", "diff", "team", newest - 1, newest)
    assert (ran.code, "blue" in ran.out, "green" in ran.out) == (0, True, True)
    ran = penstock("policies", "rollback", "team", "--to", newest - 1)
    assert (ran.code, f"revision {newest} → {newest + 1}" in ran.out) == (0, True)
    restored = penstock("policies", "revisions", "team", "--json").json["items"][-1]
    assert restored["restores"] == newest - 1


def test_activations_of_all_versions_stand_by_their_time() -> None:
    found = penstock("activations", "--json").json["items"]
    assert {each["name"] for each in found} == {"shop@v1", "shop@v2", "shop@v10"}
    assert [each["since"] for each in found] == sorted(each["since"] for each in found)
    assert all(each["actor"] for each in found)


def test_environments_tell_names_by_node() -> None:
    assert penstock("environments", "--json").json["items"][0]["node"] == "n1"
    ran = penstock("environments", "n1")
    assert (ran.code, "values" in ran.out, "secrets" in ran.out) == (0, True, True)


def test_the_changelog_of_a_component_goes_from_each_version_to_the_next() -> None:
    found = penstock("changelog", "shop", "--json").json["items"]
    assert {(each["from"], each["to"]) for each in found} <= {("shop@v1", "shop@v2"), ("shop@v2", "shop@v10")}


def test_a_changelog_of_one_version_asks_for_the_other() -> None:
    ran = penstock("changelog", "shop@v1")
    assert (ran.code, "second version" in ran.err) == (2, True)


def test_a_difference_of_one_protocol_is_told_in_words() -> None:
    ran = penstock("diff", "shop@v1", "shop@v2", "--protocol", "soap", "--json")
    assert ran.code == 0
    assert all(each["protocol"] == "soap" for each in ran.json["items"])
    assert penstock("diff", "shop@v1", "shop@v2", "--protocol", "grpc").code == 2


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["show", "shop@v3"], "shop@v1"),
        (["policies", "show", "taem"], "team"),
        (["policies", "revisions", "teams"], "team"),
        (["policies", "kinds", "api-kye"], "api-key"),
        (["plans", "show", "glod"], "gold"),
        (["changelog", "shpo"], "shop"),
        (["diff", "shop@v1", "shopp@v2"], "shop@v2"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else each,
)
def test_a_name_that_is_not_there_suggests_the_nearest(arguments: list[str], near: str) -> None:
    ran = penstock(*arguments)
    assert ran.code == 1
    assert near in ran.err.partition("Did you mean")[2]
    ran = penstock(*arguments, "--json")
    assert ran.out == ""
    assert near in orjson.loads(ran.err)["did_you_mean"]


@pytest.mark.parametrize(
    ("changes", "near"),
    [({"--app": "partnr"}, "partner"), ({"--api": "shopp"}, "shop"), ({"--plan": "glod"}, "gold")],
    ids=lambda each: " ".join([*each, *each.values()]) if isinstance(each, dict) else each,
)
def test_a_name_that_a_new_key_refers_to_and_that_is_not_there_suggests_the_nearest(
    changes: dict[str, str], near: str
) -> None:
    penstock("apps", "create", "partner")
    given = {"--app": "partner", "--api": "shop"} | changes
    arguments = ["keys", "create", *(part for pair in given.items() for part in pair)]
    ran = penstock(*arguments)
    assert ran.code == 1
    assert near in ran.err.partition("Did you mean")[2]
    assert near in orjson.loads(penstock(*arguments, "--json").err)["did_you_mean"]


def test_what_is_refused_for_something_else_suggests_nothing() -> None:
    """Not even where a name resembles another: that one is there."""
    penstock("apps", "create", "partner")
    again = penstock("apps", "create", "partner")
    assert (again.code, "already" in again.err, "Did you mean" in again.err) == (1, True, False)


def test_a_name_that_resembles_none_suggests_nothing() -> None:
    assert "Did you mean" not in penstock("policies", "show", "zzzzzz").err
    assert "did_you_mean" not in orjson.loads(penstock("policies", "show", "zzzzzz", "--json").err)


def test_a_plan_and_a_publish_name_the_endpoints_that_a_policy_touches() -> None:
    Path("ruled.yaml").write_text(RULED)
    assert _published("ruled.yaml").code == 0
    Path("team.yaml").write_text(policy(team="red"))
    for command, code in (("plan", 2), ("publish", 0)):
        ran = penstock(command, "team.yaml")
        assert (ran.code, "touches shop@v1 GET /greet/{who}" in ran.out, "~team" in ran.out) == (code, True, True)
    ran = penstock("policies", "rollback", "team")
    assert (ran.code, "touches shop@v1 GET /greet/{who}" in ran.out, "~team" in ran.out) == (0, True, True)
