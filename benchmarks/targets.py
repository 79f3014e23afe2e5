"""What was promised: each bar and goal with how it is read from the results. Ratios count within one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Results = Mapping[str, Any]  # of `results.json`: rows and figures by name
Read = Callable[[Results], float | None]


@dataclass(frozen=True)
class Target:
    """`value` should be at most `bar`, better `goal`; with `at_least` at least."""

    scenario: str
    unit: str
    read: Read
    bar: float
    goal: float | None = None
    at_least: bool = False

    def reached(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit


def figure(results: Results, row: str, label: str, name: str) -> float | None:
    """A median of a row, or None where it was not measured."""
    try:
        return float(results["rows"][row]["cases"][label][name])
    except KeyError:
        return None


def ratio(row: str, over: str, under: str, name: str = "cpu") -> Read:
    """One case's figure divided by another's."""

    def read(results: Results) -> float | None:
        above, below = figure(results, row, over, name), figure(results, row, under, name)
        return None if above is None or not below else above / below

    return read


def of(row: str, label: str, name: str = "cpu", scale: float = 1.0) -> Read:
    def read(results: Results) -> float | None:
        value = figure(results, row, label, name)
        return None if value is None else value * scale

    return read


def single(name: str) -> Read:
    """One of the figures that are no row."""

    def read(results: Results) -> float | None:
        value = results.get("figures", {}).get(name)
        return None if value is None else float(value)

    return read


def _edit(results: Results) -> float | None:
    with_edits, without = (figure(results, "policies", label, "cpu") for label in ("ten edits", "no edits"))
    return None if with_edits is None or without is None else (with_edits - without) / 10


TARGETS = (
    Target("Relay, key and exact limit, log and metrics, 32 connections: CPU ÷ nginx+Lua", "×",
           ratio("relay-32", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("The same ÷ envoy's bare proxy", "×", ratio("relay-32", "penstock", "envoy"), 0.85, 0.6),
    Target("1 connection: CPU ÷ nginx+Lua", "×", ratio("relay-1", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("8 connections: CPU ÷ nginx+Lua", "×", ratio("relay-8", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("128 connections: CPU ÷ nginx+Lua", "×", ratio("relay-128", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("Response of 10 kB: CPU ÷ nginx+Lua", "×", ratio("body-10k", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("Response of 1 MB: CPU ÷ nginx+Lua", "×", ratio("body-1m", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("POST of 1 kB: CPU ÷ nginx+Lua", "×", ratio("post-1k", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("Header fields of a browser: CPU ÷ nginx+Lua", "×", ratio("browser", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("The same, each request with another path: CPU ÷ nginx+Lua", "×",
           ratio("paths", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("The same, each request with another path, key and trace id: CPU ÷ nginx+Lua", "×",
           ratio("varied", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("TLS to the client: CPU ÷ nginx+Lua", "×", ratio("tls", "penstock", "nginx-lua"), 1.3, 1.0),
    Target("p99 at 80 % load ÷ nginx+Lua", "×", ratio("relay-paced", "penstock", "nginx-lua", "p99"), 2.0, 1.2),
    Target("Each further head-only policy", "µs", _edit, 1.0, 0.3),
    Target("10,000 routes, 1,000 versions, 100,000 keys: CPU ÷ 10 routes", "×",
           ratio("scale", "10,000 routes", "10 routes"), 1.1, 1.0),
    Target("The same: memory of a worker", "MB", of("scale", "10,000 routes", "resident"), 150, 80),
    Target("Publish of one version among 1,000", "s", single("publish_seconds"), 1.0, 0.2),
    Target("The same: by how much the slowest request was slower", "ms", single("publish_slowed_ms"), 50, 10),
    Target("REST call of a typed process", "µs", of("rest", "penstock"), 150, 80),
    Target("The same ÷ FastAPI", "×", ratio("rest", "penstock", "fastapi-httpx"), 1.0),
    Target("SOAP call", "µs", of("soap", "penstock"), 400, 200),
    Target("OData filter, order, top 20 over SQLite", "ms", of("odata", "penstock", scale=1e-3), 1.5),
    Target("Cold start to the first served request", "s", single("cold_start_seconds"), 2.0, 0.7),
    Target("1 GB down: memory growth", "MB", single("download_growth_mb"), 16),
    Target("1 GB down: throughput ÷ nginx", "×", single("download_ratio"), 0.5, 0.9, at_least=True),
    Target("1 GB up: memory growth", "MB", single("upload_growth_mb"), 16),
    Target("1 GB up: throughput ÷ nginx", "×", single("upload_ratio"), 0.5, 0.9, at_least=True),
)  # fmt: skip
