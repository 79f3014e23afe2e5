"""Results as they are kept: `results.json` has every round, `results.md` the tables, `results.svg` the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from benchmarks.chart import draw
from benchmarks.measure import Rounds, median
from benchmarks.rows import ROWS, Row
from benchmarks.scale import ROW as SCALE
from benchmarks.targets import TARGETS, Results, Target

BASE = "nginx-lua"
BAD_OTHER = 0.05  # share of the gateway's core that others may take before a row is called disturbed
COLUMNS = ("CPU µs", "min", "÷ nginx+Lua", "requests/s", "p50 ms", "p99 ms", "RSS MB", "busy")

FIGURES = {
    "cold_start_seconds": "Cold start with the embedded store to the first served request, s",
    "large_start_seconds": "Start with 1,000 versions of 10 routes and 100,000 keys, s",
    "publish_seconds": "Publish of one version among 1,000, live everywhere, s",
    "publish_quiet_slowest_ms": "Slowest request of a paced load without a publish, ms",
    "publish_slowest_ms": "Slowest request of the same load during the publish, ms",
    "publish_slowed_ms": "The difference, ms",
    "publish_wrong": "Requests that failed during the publish",
    "plan_seconds": "Publish of a plan, which all 1,000 versions are built again for, s",
    "plan_slowest_ms": "Slowest request of the same load meanwhile, ms",
    "plan_slowed_ms": "The difference to that without a publish, ms",
    "plan_wrong": "Requests that failed meanwhile",
    "download_mb_s": "1 GB down through the relay, MB/s",
    "download_ratio": "1 GB down: throughput ÷ nginx",
    "download_growth_mb": "1 GB down: growth of the worker's memory, MB",
    "upload_mb_s": "1 GB up through the relay, MB/s",
    "upload_ratio": "1 GB up: throughput ÷ nginx",
    "upload_growth_mb": "1 GB up: growth of the worker's memory, MB",
}


def row_results(row: Row, rounds: Rounds) -> dict[str, Any]:
    """Medians by case, with the rounds that they are of."""
    cases = {label: {**median(each), "rounds": [asdict(one) for one in each]} for label, each in rounds.items() if each}
    return {"title": row.title, "connections": row.connections, "cases": cases}


def write(folder: Path, results: Results) -> None:
    """All three files."""
    (folder / "results.json").write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    (folder / "results.md").write_text("\n".join(markdown(results)) + "\n")
    (folder / "results.svg").write_text(draw(results))


def markdown(results: Results) -> Iterator[str]:
    yield from ("# Results", "", _where(results), "")
    yield "Made by `make bench`; [README.md](README.md) tells what rows and columns mean. Ratios within one run count."
    yield from _disturbed(results)
    yield from ("", "![CPU a request](results.svg)", "", "## Promised and reached", "")
    yield from _targets(results)
    yield from ("", "## Peers", "", *_peers(results), "")
    for name in (*ROWS, SCALE.name):
        if name in results["rows"]:
            yield from ("", f"## {name}: {results['rows'][name]['title']}", "", *table(results["rows"][name]))
    if results.get("figures"):
        yield from ("", "## Other figures", "", "| what | value |", "|---|---|")
        yield from (f"| {FIGURES.get(name, name)} | {_number(value)} |" for name, value in results["figures"].items())


def _where(results: Results) -> str:
    machine, how = results["machine"], results["how"]
    virtual = " (virtual)" if machine.get("virtual") == "yes" else ""
    return (
        f"{results['date']}, {machine['cpu']}{virtual}, {machine['cores']} cores, Linux {machine['kernel']}, Python "
        f"{machine['python']}. One worker on one core; load, upstream and store on another. Medians of {how['rounds']} "
        f"interleaved rounds of {how['seconds']:g} s."
    )


def _disturbed(results: Results) -> Iterator[str]:
    """A warning where other work took much of the gateway's core."""
    cases = [case for row in results["rows"].values() for case in row["cases"].values()]
    count = sum(case["other"] > BAD_OTHER for case in cases)
    if count > len(cases) * 0.2:
        yield from (
            "",
            f"**Disturbed: other work took more than {BAD_OTHER:.0%} of the gateway's core in {count} of the",
        )
        yield f"{len(cases)} measurements. Rates, latencies and times below are not to be cited; run it again alone.**"


def _peers(results: Results) -> Iterator[str]:
    yield from ("| peer | version | what it does for a request |", "|---|---|---|")
    for name, each in results["peers"].items():
        yield f"| {name} | {each['version']} | {each['does']} |"
    for name, why in results["skipped"].items():
        yield f"| {name} | – | not measured: {why} |"


def _targets(results: Results) -> Iterator[str]:
    yield from ("| scenario | measured | bar | reached | goal | reached |", "|---|---|---|---|---|---|")
    for target in TARGETS:
        value = target.read(results)
        yield f"| {target.scenario} | {_measured(target, value)} | " + " | ".join(_verdicts(target, value)) + " |"


def _measured(target: Target, value: float | None) -> str:
    return "not measured" if value is None else f"{_number(value)} {target.unit}"


def _verdicts(target: Target, value: float | None) -> Iterator[str]:
    sign = "≥" if target.at_least else "≤"
    for limit in (target.bar, target.goal):
        if limit is None:
            yield from ("–", "–")
        else:
            yield f"{sign} {limit:g} {target.unit}"
            yield "–" if value is None else ("yes" if target.reached(value, limit) else "**no**")


def table(row: Mapping[str, Any]) -> Iterator[str]:
    """A row's cases, the cheapest first."""
    cases = row["cases"]
    base = cases.get(BASE, {}).get("cpu")
    yield "| | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for label, each in sorted(cases.items(), key=lambda case: case[1]["cpu"]):
        yield f"| {label}{_notes(each)} | " + " | ".join(_cells(each, base)) + " |"


def _cells(each: Mapping[str, Any], base: float | None) -> Iterator[str]:
    beside = f" + {_number(each['beside'])}" if each["beside"] >= 0.05 else ""
    yield f"{_number(each['cpu'])}{beside}"
    yield _number(each["cpu_min"])
    yield f"{each['cpu'] / base:.2f}" if base else "–"
    yield f"{each['rate']:.0f}"
    yield from (_number(each["p50"]), _number(each["p99"]), f"{each['resident']:.0f}", f"{each['busy']:.0%}")


def _notes(each: Mapping[str, Any]) -> str:
    """What makes a line doubtful."""
    notes = []
    if not each["requests"]:
        notes.append("**no request was answered**")
    if each["wrong"]:
        notes.append(f"**{each['wrong']:.0f} of {each['requests']:.0f} requests failed**")
    if each["other"] > BAD_OTHER:
        notes.append(f"others took {each['other']:.0%} of its core")
    if each["late"] > 0.2 * each["p99"] and each["late"] > 0.5:
        notes.append(f"the client was {_number(each['late'])} ms late")
    return f" ({'; '.join(notes)})" if notes else ""


def _number(value: float) -> str:
    """Three digits that mean something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
