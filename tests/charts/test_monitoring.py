"""Dashboards and alerts: they name metrics that there are, and a real Prometheus that scrapes a real node gives them
data.

Needs Debian's `prometheus` (with promtool), which .ci/run installs; where PENSTOCK_REQUIRE_PROMETHEUS is set, a machine
without it fails instead of skipping.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml

from gateway.telemetry import dependencies, upstreams
from gateway.telemetry.families import FAMILIES
from tests.server.nodes import Node, ask, serving_the_shop, until

ROOT: Final = Path(__file__).resolve().parents[2]
FILES: Final = ROOT / "charts" / "penstock" / "files"
DASHBOARDS: Final = sorted(FILES.glob("dashboards/*.json"))
ALERTS: Final = FILES / "alerts.yaml"
TESTED: Final = sorted(Path(__file__).with_name("alerts").glob("*.yaml"))  # a file for each group that has alerts
GUIDE: Final = ROOT / "docs" / "guide" / "monitoring.md"
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None and "PENSTOCK_REQUIRE_PROMETHEUS" not in os.environ, reason="needs prometheus"
)
TARGET: Final = {"component", "version", "backend", "target"}
METRICS: Final = r"metrics +http://(\S+)/metrics"  # as a node prints where they are
_NAME: Final = re.compile(r"\bpenstock_[a-z_]+")
QUIET: Final = {  # panels without data while all is well, and nothing of the kind is configured
    "Copies of requests",
    "Spans of traces",
    "Certificates end in",
    "Processes of runtimes that are connected",
    "Calls to runtimes",
    "Commands that failed",
    "Refused by limits",
}
RELAY: Final = """
kind: ApiComponent
name: away
version: v1
base_path: /away
backends: {{up: {{http: {{targets: ["{url}"]}}}}}}
policies: [{{use: anonymous}}]
rest: {{"ANY /**": {{relay: up}}}}
"""


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_bytes())["panels"]:
            yield path.stem, panel


def expressions() -> Iterator[tuple[str, str]]:
    """(panel's title, expression with the variables filled in)."""
    for _, panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "30s")
            yield panel["title"], re.sub(r'"\$(component|version|instance)"', '".*"', text)


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def documented() -> set[str]:
    section = GUIDE.read_text().partition("\n## Metrics\n")[2].partition("\n### ")[0]
    return {name for line in section.splitlines() if line.startswith("| `penstock_") for name in _NAME.findall(line)}


def coded() -> dict[str, set[str] | None]:
    """The families that the code tells, with their labels where these are declared."""
    found: dict[str, set[str] | None] = {}
    for path in [*(ROOT / "gateway" / "telemetry").glob("*.py"), ROOT / "gateway" / "consumers" / "expiring.py"]:
        found |= dict.fromkeys(re.findall(r'"(penstock_[a-z_]+)"', path.read_text()))
    found |= dict.fromkeys(f"penstock_{name}_bytes_total" for name in ("received", "sent"))
    found |= {f"penstock_upstream_{name}": TARGET | {"worker"} for name in upstreams.GAUGES}
    found |= {f"penstock_upstream_{name}_total": TARGET for name in upstreams.COUNTERS}
    found[upstreams.SECONDS] = TARGET
    found |= {f"penstock_dependency_{name}_total": {"origin"} for name in dependencies.COUNTERS}
    return found | {name: set(about.labels) for name, about in FAMILIES.items()}


def family_of(name: str) -> str:
    whole = re.sub(r"_(bucket|sum|count)$", "", name)
    return whole if whole in coded() else name


def used() -> list[str]:
    """Every expression of the dashboards and the rules."""
    return [text for _, text in expressions()] + [str(rule["expr"]) for rule in rules()]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    board = json.loads(path.read_bytes())
    assert board["uid"] == f"penstock-{path.stem}"
    ids = [each["id"] for each in board["panels"]]
    assert len(ids) == len(set(ids))
    assert all(each["targets"] and each["title"] for each in board["panels"])
    places = [tuple(each["gridPos"][name] for name in "xywh") for each in board["panels"]]
    for x, y, w, h in places:
        assert 0 <= x <= x + w <= 24
        assert sum(x < u + v and u < x + w and y < t + k and t < y + h for u, t, v, k in places) == 1, "panels overlap"


def test_dashboards_and_alerts_name_metrics_that_there_are() -> None:
    named = {family_of(name) for text in used() for name in _NAME.findall(text)}
    assert named - set(coded()) == set()


def test_dashboards_and_alerts_select_by_labels_that_a_metric_has() -> None:
    for text in used():
        for name, chosen in re.findall(r"\b(penstock_[a-z_]+)\{([^}]*)\}", text):
            labels = coded()[family_of(name)]
            if labels is not None:
                assert set(re.findall(r"(\w+)\s*[=!]", chosen)) <= labels | {"instance", "job"}, (name, chosen)


def test_every_alert_says_what_is_the_matter_and_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]


def test_the_guide_has_a_row_for_every_family_that_the_code_tells_and_for_no_other() -> None:
    assert documented() == set(coded())


def test_the_guide_has_a_row_for_every_alert() -> None:
    section = GUIDE.read_text().partition("\n## Dashboards and alerts\n")[2].partition("\n## ")[0]
    assert {rule["alert"] for rule in rules() if "alert" in rule} == set(re.findall(r"`(Penstock\w+)`", section))


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for path in TESTED:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for each in test["alert_rule_test"]:
                found[bool(each["exp_alerts"])].add(each["alertname"])
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert found == {True: alerts, False: alerts}


@needs_prometheus
@pytest.mark.parametrize("path", TESTED, ids=lambda path: path.stem)
def test_the_alerts_fire_when_they_should_and_not_before(tmp_path: Path, path: Path) -> None:
    assert PROMTOOL is not None
    for each in (ALERTS, path):
        shutil.copy(each, tmp_path)
    command = [PROMTOOL, "test", "rules", path.name]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr


class Upstream(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("scraped")
    with serving_the_shop(folder, "--egress", "127.0.0.0/8", PENSTOCK_METRICS_PORT="0") as node:
        found = node.apply(RELAY.format(url=f"http://127.0.0.1:{server.server_address[1]}"))
        assert found.status_code == 200, found.text
        yield node
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def prometheus(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one that scrapes the node each second and has the rules."""
    assert PROMETHEUS is not None
    folder = tmp_path_factory.mktemp("prometheus")
    place = node.line(METRICS)
    scraped = {"job_name": "penstock", "static_configs": [{"targets": [place]}]}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [scraped],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: ask("GET", f"{url}/-/ready").status_code == 200, "prometheus is ready")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def query(url: str, text: str) -> list[Any]:
    """What an instant query finds; a failure when it is none."""
    answer = httpx2.get(f"{url}/api/v1/query", params={"query": text}, trust_env=False, timeout=30).json()
    assert answer["status"] == "success", (text, answer.get("error"))
    found: list[Any] = answer["data"]["result"]
    return found


@pytest.fixture(scope="module")
def loaded(node: Node, prometheus: str) -> str:
    """The same, once the node has had a little to do for a few scrapes."""
    key = node.key()

    def scraped() -> bool:
        for path in ("/shop/v1/who", "/shop/v1/limited", "/away/x"):
            node.get(path, key)
        node.get("/shop/v1/who")
        node.order(key, 1)
        rates = query(prometheus, "sum(rate(penstock_deliveries_total[30s]))")
        topics = query(prometheus, "penstock_listener_messages")
        timed = query(prometheus, "sum(rate(penstock_step_seconds_count[30s])) > 0")
        return bool(rates and topics and timed)

    until(scraped, "prometheus has seen the node at work")
    return prometheus


@needs_prometheus
def test_every_expression_of_the_dashboards_parses_and_gives_data(loaded: str) -> None:
    empty = {title for title, text in expressions() if not query(loaded, text)}
    assert empty <= QUIET | {"Failed (5xx)", "Failed by endpoint (5xx)"}


@needs_prometheus
def test_every_rule_is_evaluated_and_none_fires_while_all_is_well(loaded: str) -> None:
    def groups() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask("GET", f"{loaded}/api/v1/rules").json()["data"]["groups"]
        return found if all(each["health"] == "ok" for group in found for each in group["rules"]) else []

    found = [rule for group in until(groups, "every rule was evaluated") for rule in group["rules"]]
    assert len(found) == len(rules())
    assert [each["name"] for each in found if each.get("state") == "firing"] == []


@needs_prometheus
def test_prometheus_scrapes_without_a_warning(loaded: str) -> None:
    (target,) = ask("GET", f"{loaded}/api/v1/targets").json()["data"]["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_a_node_tells_no_family_that_the_code_does_not_name(node: Node) -> None:
    text = ask("GET", f"http://{node.line(METRICS)}/metrics").text
    assert set(re.findall(r"^# TYPE (\S+)", text, re.M)) <= set(coded())
