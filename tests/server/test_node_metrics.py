"""The metrics of a real node: on a listener of their own, in both forms, summed over workers that come and go."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.telemetry.families import FAMILIES
from tests.server.nodes import Node, ask, gone, serving_the_shop, until

PROMTOOL = shutil.which("promtool")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    given = {"PENSTOCK_METRICS_PORT": "0", "PENSTOCK_METRICS_APPLICATIONS": "2"}
    with serving_the_shop(tmp_path_factory.mktemp("metrics"), **given) as node:
        yield node


@pytest.fixture(scope="module")
def url(node: Node) -> str:
    return node.line(r"metrics +(\S+)")


@pytest.fixture(scope="module")
def key(node: Node) -> str:
    return node.key()


def value(text: str, name: str, *parts: str) -> float:
    """The sum of a family's series whose labels have these parts."""
    lines = (line for line in text.splitlines() if re.match(rf"{name}[ {{]", line))
    found = [line for line in lines if all(each in line for each in parts)]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def told(url: str, at_least: float, name: str, *parts: str) -> str:
    """The page, once the family says so much: workers tell once a second."""

    def page() -> str:
        text = ask("GET", url).text
        return text if value(text, name, *parts) >= at_least else ""

    found: str = until(page, f"{name} {parts} is at least {at_least}")
    return found


def test_metrics_need_no_credentials_and_answer_nothing_else(node: Node, url: str) -> None:
    assert ask("GET", url).headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert ask("HEAD", url).status_code == 200
    base = url.removesuffix("/metrics")
    assert [ask("GET", base + path).status_code for path in ("/", "/admin/v1/health", "/metrics/")] == [404, 404, 404]
    assert ask("POST", url).status_code == 405


def test_the_admin_route_tells_the_same_families_with_a_token(node: Node, url: str) -> None:
    def names(text: str) -> set[str]:
        return set(re.findall(r"^# TYPE (\S+)", text, re.M))

    assert names(node.admin("GET", "/metrics").text) == names(ask("GET", url).text)
    assert ask("GET", f"{node.admin_url}/admin/v1/metrics").status_code == 401


def test_openmetrics_is_spoken_where_it_is_preferred(url: str) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5"
    answer = ask("GET", url, headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    assert "# TYPE penstock_requests counter\n" in answer.text
    assert "# TYPE penstock_requests_total counter" not in answer.text


def test_requests_are_told_by_endpoint_lane_and_application(node: Node, url: str, key: str) -> None:
    assert node.get("/shop/v1/who", key).status_code == 200
    assert node.get("/shop/v1/who").status_code == 401
    told(url, 1, "penstock_step_refusals_total", 'step="keys"', 'code="unauthorized"')
    told(url, 1, "penstock_requests_total", 'endpoint="GET /who"', 'lane="call"', 'status="2xx"')
    told(url, 1, "penstock_application_requests_total", 'application="partner"', 'outcome="ok"')
    told(url, 1, "penstock_application_requests_total", 'application="(none)"', 'outcome="refused"')


def test_applications_beyond_the_bound_are_other(node: Node, url: str) -> None:
    keys = [node.key(f"app-{number}") for number in range(9)]
    for each in keys:
        assert node.get("/shop/v1/who", each).status_code == 200
    told(url, 1, "penstock_application_requests_total", 'application="other"')
    text = told(url, 9, "penstock_application_requests_total", 'outcome="ok"')
    names = set(re.findall(r'penstock_application_requests_total\{application="([^"]*)"', text))
    assert len(names) <= 2 * 3 + 1


def test_the_store_is_told_by_line(node: Node, url: str, key: str) -> None:
    for _ in range(5):
        assert node.get("/shop/v1/limited", key).status_code == 200
    text = told(url, 5, "penstock_store_operations_total", 'line="hot"')
    assert value(text, "penstock_store_seconds_count", 'line="hot"') >= 1
    assert value(text, "penstock_store_lines", 'state="up"') >= 2
    assert value(text, "penstock_store_operations_total", 'line="control"') >= 1


def test_messages_are_told_by_topic_and_listener(node: Node, url: str, key: str) -> None:
    assert node.order(key, 1).status_code == 202
    text = told(url, 1, "penstock_deliveries_total", 'listener="bill"', 'outcome="acknowledged"')
    assert value(text, "penstock_deliveries_total") >= 1
    told(url, 1, "penstock_messages_published_total", 'topic="orders"')


def test_a_failure_is_counted_from_0_so_that_the_first_one_raises_an_alert(node: Node, url: str, key: str) -> None:
    assert node.get("/shop/v1/who", key).status_code == 200
    text = told(url, 1, "penstock_requests_total", 'endpoint="GET /who"', 'status="2xx"')
    assert re.search(r'penstock_requests_total\{.*endpoint="GET /who",.*status="5xx"\} 0$', text, re.M)
    assert re.search(r'penstock_deliveries_total\{.*listener="bill",outcome="dead"\} 0$', text, re.M)


def test_what_the_node_is_and_serves_is_told(node: Node, url: str) -> None:
    text = told(url, 2, "penstock_workers")
    assert value(text, "penstock_build_info") == 1
    assert value(text, "penstock_versions_live") == 1
    assert value(text, "penstock_store_up") == 1
    assert value(text, "penstock_serving_error") == 0
    assert value(text, "penstock_sequence") > 0
    assert value(text, "penstock_last_known_good_timestamp_seconds") > 1_700_000_000
    for process in ("control", "supervisor", "worker 0", "worker 1"):
        assert value(text, "penstock_process_resident_memory_bytes", f'process="{process}"') > 10_000_000
        assert value(text, "penstock_process_open_fds", f'process="{process}"') > 3


def test_a_counter_never_goes_down_when_a_worker_is_replaced(node: Node, url: str, key: str) -> None:
    for _ in range(20):
        assert node.get("/shop/v1/limited", key).status_code == 200
        assert node.get("/shop/v1/who").status_code == 401
    counters = [name for name, each in FAMILIES.items() if each.kind == "counter" and "process" not in name]
    counters += ["penstock_requests_total", "penstock_request_seconds_count", "penstock_sent_bytes_total"]
    before = told(url, 20, "penstock_requests_total", 'endpoint="GET /limited"')
    until(lambda: ask("GET", url).text.count("penstock_worker_loop_lag_seconds{") == 2, "both workers have told")
    before = ask("GET", url).text
    pids = node.workers_pids()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    gone(*pids)
    until(lambda: node.health().get("workers") == 2, "the workers are back")
    after = told(url, 2, "penstock_workers_ended_total")
    for name in counters:
        assert value(after, name) >= value(before, name), name
    assert after.count("penstock_worker_loop_lag_seconds{") <= 2


def test_an_idle_listener_of_metrics_is_off_by_default(tmp_path: Path) -> None:
    with Node(tmp_path, workers=1) as node:
        node.start()
        assert not [line for line in node.said if line.startswith("metrics")]


@pytest.mark.skipif(PROMTOOL is None and "PENSTOCK_REQUIRE_PROMETHEUS" not in os.environ, reason="needs promtool")
def test_promtool_finds_nothing_wrong(url: str) -> None:
    assert PROMTOOL is not None
    text = httpx2.get(url, trust_env=False).text
    found = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
