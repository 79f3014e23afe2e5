"""The help by task, whole at every width; wrong usage as JSON for programs."""

from __future__ import annotations

import orjson
import pytest

from gateway.cli.tasks import OTHER, TASKS
from tests.cli.cli_harness import penstock
from tests.cli.test_cli_output import commands


def test_every_command_of_the_root_has_one_task() -> None:
    told = [name for names in TASKS.values() for name in names]
    assert sorted(told) == sorted({names[0] for names in commands()})
    assert f"{OTHER}:" not in penstock("--help").out


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("group", [(), ("policies",), ("keys",), ("import",)], ids=" ".join)
def test_no_summary_is_cut(group: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = penstock(*group, "--help").out
    assert "..." not in text.replace("[ARGS]...", "")
    assert max(map(len, text.splitlines())) <= columns


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["publsh", "--json"], "publish"),
        (["list", "--jsn", "--json"], "--jsn"),
        (["show", "--json"], "NAME"),
        (["audit", "--limit", "many", "--json"], "--limit"),
        (["list", "--json", "--url", "nonsense", "--token", "pt_x"], "nonsense"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_json_for_programs(arguments: list[str], told: str) -> None:
    ran = penstock(*arguments)
    assert (ran.code, ran.out) == (2, "")
    problem = orjson.loads(ran.err)
    assert told.lower() in (problem.get("detail") or problem["title"]).lower()


def test_no_gateway_is_json_for_programs() -> None:
    ran = penstock("list", "--json", "--url", "http://127.0.0.1:9", "--token", "pt_x")
    assert (ran.code, ran.out) == (3, "")
    assert "penstock serve" in orjson.loads(ran.err)["title"]
