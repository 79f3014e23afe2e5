"""`penstock top` and `penstock doctor`: what they make of what the admin REST tells."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import traffic
from gateway.cli.findings import Told, examine
from gateway.cli.measured import examine_folder, examine_metrics
from gateway.cli.metrics_text import samples
from tests.cli.cli_harness import Served, penstock

LABELS = 'component="shop",version="v2",endpoint="GET /orders/{id}",lane="call"'


def metrics(ok: int, refused: int, fast: int) -> str:
    total = ok + refused
    return "\n".join(
        [
            "# HELP penstock_requests_total Exchanges that ended, by class of status.",
            f'penstock_requests_total{{{LABELS},status="2xx"}} {ok}',
            f'penstock_requests_total{{{LABELS},status="4xx"}} {refused}',
            f'penstock_request_seconds_bucket{{{LABELS},le="0.01"}} {fast}',
            f'penstock_request_seconds_bucket{{{LABELS},le="0.1"}} {total}',
            f'penstock_request_seconds_bucket{{{LABELS},le="+Inf"}} {total}',
            "penstock_exchanges 3",
            "penstock_shed_requests_total 10",
        ]
    )


def test_two_readings_become_rates_shares_and_times() -> None:
    before, after = traffic.read(metrics(10, 0, 10), 5.0), traffic.read(metrics(40, 10, 40), 7.0)
    (row,) = traffic.rows(before, after)
    assert (row["version"], row["endpoint"]) == ("shop@v2", "GET /orders/{id}")
    assert (row["requests"], row["refused"], row["failed"]) == (20.0, 0.25, 0.0)
    assert row["p50_ms"] == pytest.approx(6.67, abs=0.01)
    assert 10 < row["p99_ms"] <= 100
    assert traffic.node(before, after)["in_flight"] == 3


def test_an_endpoint_that_nobody_called_in_between_is_not_shown() -> None:
    reading = traffic.read(metrics(10, 0, 10), 5.0)
    assert traffic.rows(reading, traffic.read(metrics(10, 0, 10), 7.0)) == []


def _counts(node: str, group: str, count: int) -> traffic.Reading:
    return traffic.read(metrics(count, 0, count), float(count), group, node)


@pytest.mark.parametrize(
    ("group", "named"),
    [("version", {"version": "shop@v2"}), ("lane", {"lane": "call"}), ("node", {"node": "a"})],
)
def test_a_line_is_what_one_asks_for(group: str, named: dict[str, str]) -> None:
    (row,) = traffic.rows(_counts("a", group, 1), _counts("a", group, 11), group)
    assert row | named == row
    assert row["requests"] == 1.0


def test_applications_and_upstreams_have_metrics_of_their_own() -> None:
    def text(calls: int, failed: int) -> str:
        upstream = 'component="shop",version="v2",backend="erp",target="10.0.0.1:80"'
        application = 'application="partner",component="shop",version="v2"'
        return "\n".join(
            [
                f'penstock_application_requests_total{{{application},outcome="ok"}} {calls - failed}',
                f'penstock_application_requests_total{{{application},outcome="refused"}} {failed}',
                f"penstock_upstream_attempts_total{{{upstream}}} {calls}",
                f"penstock_upstream_failed_total{{{upstream}}} {failed}",
            ]
        )

    def row(group: str) -> dict[str, Any]:
        found = traffic.rows(traffic.read(text(0, 0), 0.0, group), traffic.read(text(40, 10), 10.0, group), group)
        (one,) = found
        return one

    called, sent = row("application"), row("upstream")
    assert (called["application"], called["requests"], called["refused"]) == ("partner", 4.0, 0.25)
    assert (sent["backend"], sent["target"], sent["requests"], sent["failed"]) == ("erp", "10.0.0.1:80", 4.0, 0.25)


def test_nodes_are_summed_and_the_longest_lag_counts() -> None:
    one, two = traffic.read("penstock_loop_lag_seconds 0.5", 1.0), traffic.read("penstock_loop_lag_seconds 0.1", 1.0)
    both = traffic.together([_counts("a", "version", 1), _counts("b", "version", 2), one, two], 2.0)
    assert both.requests == 3
    assert both.routes[("shop@v2",)].requests == 3
    assert both.plain["penstock_loop_lag_seconds"] == 0.5


def test_a_node_that_started_anew_counts_for_nothing_once() -> None:
    before, after = _counts("a", "node", 100), _counts("a", "node", 1)
    after.at = before.at + 1
    assert traffic.rows(before, after, "node") == []
    assert traffic.node(before, after)["requests"] == 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.floats(0.01, 0.99))
def test_a_quantile_lies_within_the_bounds(counts: list[int], share: float) -> None:
    cumulative = {float(number + 1): float(sum(counts[: number + 1])) for number in range(len(counts))}
    found = traffic.quantile(cumulative, share)
    assert found is None if not sum(counts) else found is not None and 0 <= found <= len(counts) * 1000


def told(**changes: Any) -> Told:
    about: dict[str, Any] = {
        "url": "http://127.0.0.1:8081",
        "health": {"ready": True, "store": "up", "version": "1", "workers": 2},
        "nodes": [{"name": "a", "snapshot": "1", "version": "1"}],
        "versions": [],
        "environments": [],
        "ending": [],
        "skew": 0.0,
        "now": datetime(2027, 1, 1, tzinfo=UTC),
    }
    return Told(**about | changes)


def test_a_gateway_that_is_well_has_nothing_to_mend() -> None:
    assert {each.state for each in examine(told())} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "what", "state"),
    [
        ({"health": {"ready": False, "store": "up", "version": "1"}}, "node", "bad"),
        ({"health": {"ready": True, "store": "The store cannot be reached", "version": "1"}}, "store", "bad"),
        ({"skew": -30.0}, "clock", "warn"),
        ({"nodes": [{"name": "a", "snapshot": "1"}, {"name": "b", "snapshot": "2"}]}, "nodes", "bad"),
        ({"nodes": [{"name": "a", "snapshot": "1", "problems": ["a certificate"]}]}, "node a", "bad"),
        (
            {"environments": [{"node": "a", "values": {"missing": []}, "secrets": {"missing": ["jwt"], "unused": []}}]},
            "environment of a",
            "bad",
        ),
        (
            {"versions": [{"name": "shop@v1", "status": "deprecated", "lifecycle": {"sunset": "2026-12-31"}}]},
            "version shop@v1",
            "warn",
        ),
        ({"ending": [{"id": "k-1", "application": "a", "api": "shop", "ends": 1_800_000_000.0}]}, "key k-1", "warn"),
        ({"url": "http://admin.example:8081"}, "admin", "bad"),
    ],
)
def test_what_is_not_well_is_told_with_the_way_out(changes: dict[str, Any], what: str, state: str) -> None:
    (found,) = [each for each in examine(told(**changes)) if each.state != "ok"]
    assert (found.what, found.state) == (what, state)
    assert found.out


def test_a_token_that_others_may_read_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "context.json"
    path.write_text("{}")
    path.chmod(0o644)
    (found,) = [each for each in examine(told(context=path)) if each.state == "bad"]
    assert "chmod 600" in found.out


MEASURED = """\
penstock_certificate_expires_timestamp_seconds{listener="public",file="shop.pem"} 9000000
penstock_process_open_fds{process="worker 0"} 20
penstock_process_max_fds{process="worker 0"} 65536
penstock_workers 2
penstock_workers_configured 2
penstock_last_known_good_timestamp_seconds 99990
penstock_sequence_behind 0
penstock_upstream_circuit{component="shop",version="v1",backend="erp",target="a:1",worker="0"} 0
penstock_upstream_healthy{component="shop",version="v1",backend="erp",target="a:1",worker="0"} 1
penstock_store_lines{state="up"} 2
penstock_store_lines{state="down"} 0
penstock_access_log_lines_dropped_total 0
"""


def test_metrics_of_a_node_that_is_well_tell_nothing_to_mend() -> None:
    assert {each.state for each in examine_metrics(list(samples(MEASURED)), 100_000.0)} == {"ok"}


@pytest.mark.parametrize(
    ("was", "now", "what", "state"),
    [
        ("shop.pem\"} 9000000", "shop.pem\"} 200000", "certificate of public", "warn"),
        ("shop.pem\"} 9000000", "shop.pem\"} 99999", "certificate of public", "bad"),
        ("} 20\n", "} 65000\n", "open files of worker 0", "warn"),
        ("65536", "1024", "open files", "warn"),
        ("penstock_workers 2", "penstock_workers 1", "workers", "bad"),
        ("99990", "90000", "last known good", "warn"),
        ("behind 0", "behind 3", "change log", "warn"),
        ('circuit{component="shop",version="v1",backend="erp",target="a:1",worker="0"} 0',
         'circuit{component="shop",version="v1",backend="erp",target="a:1",worker="0"} 2',
         "upstream shop@v1 erp a:1", "warn"),
        ('state="down"} 0', 'state="down"} 1', "store", "bad"),
        ("dropped_total 0", "dropped_total 7", "access log", "warn"),
    ],
)  # fmt: skip
def test_what_metrics_show_wrong_is_told_with_the_way_out(was: str, now: str, what: str, state: str) -> None:
    assert was in MEASURED
    wrong = [
        each for each in examine_metrics(list(samples(MEASURED.replace(was, now))), 100_000.0) if each.state != "ok"
    ]
    assert [(each.what, each.state) for each in wrong] == [(what, state)]
    assert wrong[0].out


def test_a_data_folder_that_everybody_may_read_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert "chmod o-rwx" in " ".join(each.out for each in examine_folder(tmp_path))
    tmp_path.chmod(0o700)
    assert {each.state for each in examine_folder(tmp_path)} == {"ok"}


def test_doctor_ends_with_0_when_nothing_is_bad(gateway: Served) -> None:
    found = penstock("doctor", "--json")
    assert found.code == 0, found.out
    assert {"check", "state", "seen", "way_out"} == found.json["items"][0].keys()


def test_top_looks_once(gateway: Served) -> None:
    found = penstock("top", "--once", "--interval", "0.2", "--json")
    assert found.code == 0
    assert found.json["items"] == []


def test_top_goes_on_with_the_nodes_that_answer(gateway: Served) -> None:
    gone = "http://127.0.0.1:9"
    looked = penstock(
        "top", "--once", "--interval", "0.2", "--url", gateway.url, "--url", gone, "--by", "node", "--json"
    )
    assert looked.code == 0, looked.err
    assert looked.json["silent"] == [gone]
    nobody = penstock("top", "--once", "--url", gone)
    assert nobody.code == 3


def test_one_kind_is_told_with_its_settings(gateway: Served) -> None:
    text = penstock("policies", "kinds", "rate-limit").out
    assert "on_store_loss" in text
    assert '{use: rate-limit, with: {"limit":"600/1m"}}' in text
