"""What the bench records: ratios, verdicts, tables, the picture."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import chart, record
from benchmarks.measure import Round, median
from benchmarks.rows import ROWS
from benchmarks.targets import TARGETS, Target, figure, of, ratio, single

PLAIN = {
    "beside": 0.0, "rate": 1000.0, "p50": 1.0, "p99": 2.0, "most": 3.0, "resident": 50.0, "busy": 0.9, "other": 0.0,
    "wrong": 0, "requests": 3000, "late": 0.0,
}  # fmt: skip


def a_round(cpu: float, **more: Any) -> Round:
    return Round(**{**PLAIN, "cpu": cpu, **more})


def results(**cases: list[Round]) -> dict[str, Any]:
    rounds = {name.replace("_", "-"): each for name, each in cases.items()}
    return {
        "date": "2026-01-02",
        "machine": {"cpu": "A & B", "cores": 2, "kernel": "6.1", "python": "3.11.7", "virtual": "yes"},
        "how": {"rounds": 3, "seconds": 3.0},
        "peers": {name: {"version": "1", "does": "proxy only"} for name in rounds},
        "skipped": {"caddy": "caddy is not installed"},
        "rows": {"relay-32": record.row_results(ROWS["relay-32"], rounds)},
        "figures": {"cold_start_seconds": 0.9},
    }


BOTH = {"penstock": [a_round(30.0), a_round(24.0), a_round(26.0)], "nginx_lua": [a_round(20.0)]}


def test_a_case_is_its_median_and_its_least() -> None:
    told = median([a_round(30.0), a_round(24.0), a_round(26.0)])
    assert (told["cpu"], told["cpu_min"]) == (26.0, 24.0)


def test_failures_of_all_rounds_are_summed() -> None:
    assert median([a_round(1.0, wrong=2), a_round(1.0), a_round(1.0, wrong=1)])["wrong"] == 3


def test_a_ratio_is_of_medians_in_one_run() -> None:
    assert ratio("relay-32", "penstock", "nginx-lua")(results(**BOTH)) == pytest.approx(1.3)


def test_what_was_not_measured_has_no_ratio() -> None:
    assert ratio("relay-32", "penstock", "envoy")(results(**BOTH)) is None
    assert of("soap", "penstock")(results(**BOTH)) is None
    assert single("publish_seconds")(results(**BOTH)) is None
    assert figure(results(**BOTH), "relay-32", "penstock", "nothing") is None


def test_a_limit_is_reached_from_its_own_side() -> None:
    less, more = Target("x", "×", single("a"), 1.0), Target("x", "×", single("a"), 1.0, at_least=True)
    assert less.reached(0.9, 1.0)
    assert not more.reached(0.9, 1.0)


def test_every_target_reads_rows_that_exist() -> None:
    empty = {"rows": {}, "figures": {}}
    assert [target.read(empty) for target in TARGETS] == [None] * len(TARGETS)
    assert len({target.scenario for target in TARGETS}) > len(TARGETS) // 2


def test_the_table_names_the_ratio_to_nginx_with_lua() -> None:
    lines = list(record.table(results(**BOTH)["rows"]["relay-32"]))
    assert next(line for line in lines if line.startswith("| penstock")).split(" | ")[3] == "1.30"


def test_a_line_says_what_makes_it_doubtful() -> None:
    row = results(penstock=[a_round(26.0, wrong=7, other=0.4)])["rows"]["relay-32"]
    assert "7 of 3000 requests failed" in "\n".join(record.table(row))
    assert "others took 40% of its core" in "\n".join(record.table(row))


def test_a_peer_that_answered_nothing_says_so() -> None:
    row = results(penstock=[a_round(26.0, requests=0)])["rows"]["relay-32"]
    assert "no request was answered" in "\n".join(record.table(row))


def test_the_report_names_machine_skipped_peers_and_verdicts() -> None:
    text = "\n".join(record.markdown(results(**BOTH)))
    assert "A & B (virtual), 2 cores, Linux 6.1, Python 3.11.7" in text
    assert "| caddy | – | not measured: caddy is not installed |" in text
    assert "| 1.30 × | ≤ 1.3 × | yes | ≤ 1 × | **no** |" in text


def test_a_run_beside_other_work_warns() -> None:
    assert "**Disturbed" not in "\n".join(record.markdown(results(**BOTH)))
    assert "**Disturbed" in "\n".join(record.markdown(results(penstock=[a_round(26.0, other=0.4)])))


def test_the_picture_is_well_formed_and_has_a_bar_for_each_peer() -> None:
    drawn = chart.draw(results(**BOTH))
    root = ElementTree.fromstring(drawn)
    bars = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert len(bars) == 3, "two peers, and one row against nginx with Lua"
    assert "A &amp; B" in drawn


def test_a_dearer_peer_has_a_longer_bar() -> None:
    panel = chart.Panel("", "", (), scale=2000.0, least=5.0)
    assert panel.length(10) < panel.length(20) < panel.length(2000)


def test_a_picture_of_nothing_is_still_one() -> None:
    empty = {**results(**BOTH), "rows": {}}
    assert ElementTree.fromstring(chart.draw(empty)).tag.endswith("svg")


def test_results_are_written_as_three_files(tmp_path: Any) -> None:
    record.write(tmp_path, results(**BOTH))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "results.md", "results.svg"]
