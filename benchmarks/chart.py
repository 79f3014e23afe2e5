"""The results as an SVG picture: CPU a request of all peers, and Penstock's rows against nginx with Lua. Drawn by hand;
its colours follow the reader's light or dark mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 860, 290, 130
BAR, GAP, TITLE = 20, 8, 62
STYLE = """
  svg { background: #ffffff; }
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; } .note { fill: #59636e; font-size: 12px; }
  .bar { fill: #8c959f; } .own { fill: #0969da; } .line { stroke: #d1d9e0; } .bound { stroke: #bc4c00; }
  .bound-text { fill: #bc4c00; font-size: 12px; }
  .good { fill: #1a7f37; } .far { fill: #bf8700; } .over { fill: #cf222e; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; }
    text { fill: #e6edf3; } .note { fill: #9198a1; } .bar { fill: #656c76; } .own { fill: #4493f8; }
    .line { stroke: #3d444d; } .bound { stroke: #f0883e; } .bound-text { fill: #f0883e; }
    .good { fill: #3fb950; } .far { fill: #d29922; } .over { fill: #f85149; }
  }
"""
ROWS = (  # those with nginx+Lua beside them
    ("relay-1", "1 connection"),
    ("relay-8", "8 connections"),
    ("relay-32", "32 connections"),
    ("relay-128", "128 connections"),
    ("body-10k", "response of 10 kB"),
    ("body-1m", "response of 1 MB"),
    ("post-1k", "POST of 1 kB"),
    ("browser", "header fields of a browser"),
    ("paths", "the same, another path each"),
    ("varied", "the same, no two alike"),
    ("tls", "TLS to the client"),
)
BARE = "Penstock, no policy"


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    text: str
    kind: str = "bar"  # the class that colours it


@dataclass(frozen=True)
class Panel:
    """A title and bars. `scale` is the value at the right end; `logarithmic` from `least`. `bounds` are marked."""

    title: str
    note: str
    bars: Sequence[Bar]
    scale: float
    bounds: Sequence[tuple[float, str]] = ()
    least: float = 0.0

    def length(self, value: float) -> float:
        """Pixels of a value."""
        room = WIDTH - LEFT - RIGHT
        if not self.least:
            return room * min(1.0, value / self.scale)
        share = log10(max(value, self.least) / self.least) / log10(self.scale / self.least)
        return max(2.0, room * min(1.0, share))

    @property
    def height(self) -> int:
        return TITLE + len(self.bars) * (BAR + GAP) + (22 if self.bounds else 6)


def draw(results: Mapping[str, Any]) -> str:
    """The whole picture; panels without a bar are left out."""
    panels = [panel for panel in (_peers(results), _rows(results)) if panel.bars]
    height = sum(panel.height for panel in panels) + 24
    machine = results["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, {results['date']}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="CPU a request, Penstock beside other gateways">',
        f"<style>{STYLE}</style>",
    ]
    top = 0
    for panel in panels:
        lines += _panel(panel, top)
        top += panel.height
    lines += [_text(WIDTH - 12, height - 8, where, "note", "end"), "</svg>"]
    return "\n".join(lines) + "\n"


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield _text(12, top + 26, panel.title, "title")
    yield _text(12, top + 46, panel.note, "note")
    end = top + TITLE + len(panel.bars) * (BAR + GAP)
    yield f'<line class="line" x1="{LEFT}" y1="{top + TITLE - 4}" x2="{LEFT}" y2="{end}"/>'
    for index, bar in enumerate(panel.bars):
        y = top + TITLE + index * (BAR + GAP)
        length = panel.length(bar.value)
        yield _text(LEFT - 10, y + 15, bar.label, "", "end")
        yield f'<rect class="{bar.kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"/>'
        yield _text(LEFT + length + 8, y + 15, bar.text, "")
    for value, text in panel.bounds:
        x = LEFT + panel.length(value)
        ends = f'x1="{x:.1f}" y1="{top + TITLE - 4}" x2="{x:.1f}" y2="{end}"'
        yield f'<line class="bound" {ends} stroke-dasharray="4 3"/>'
        before = value == min(panel.bounds)[0]  # so that two texts do not meet
        yield _text(x - 4 if before else x + 4, end + 12, text, "bound-text", "end" if before else "start")


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _peers(results: Mapping[str, Any]) -> Panel:
    """All peers on a logarithmic scale, as they lie two powers of ten apart."""
    rows, peers = results["rows"], results["peers"]
    cases = dict(rows.get("relay-32", {}).get("cases", {}))
    bare = rows.get("open-32", {}).get("cases", {}).get("penstock")
    if bare is not None:
        cases[BARE] = bare
    bars = []
    for name, each in sorted(cases.items(), key=lambda case: case[1]["cpu"]):
        does = "proxy only" if name == BARE else str(peers.get(name, {}).get("does", ""))
        label = name if name == BARE else _peer_label(name, does)
        kind = "own" if name in {BARE, "penstock"} else "bar"
        bars.append(Bar(label, each["cpu"], f"{each['cpu']:.1f} µs", kind))
    most = max((bar.value for bar in bars), default=1.0)
    least = min((bar.value for bar in bars), default=1.0) / 2
    note = "CPU time of the gateway for one request, 32 connections, 100 bytes; logarithmic; shorter is better"
    return Panel("Gateways side by side", note, bars, most, least=least)


def _peer_label(name: str, does: str) -> str:
    if does == "proxy only":
        return f"{name}, proxy only"
    names = {"penstock": "Penstock, key + limit, log, metrics", "nginx-lua": "nginx + Lua, key + limit"}
    names |= {
        "nginx-lua-log": "nginx + Lua, key + limit, log",
        "fastapi-httpx": "FastAPI + httpx, key + limit",
        "express-gateway": "Express Gateway, key + limit",
    }
    return names.get(name, f"{name}, key + limit")


def _rows(results: Mapping[str, Any]) -> Panel:
    bars = []
    for name, label in ROWS:
        cases = results["rows"].get(name, {}).get("cases", {})
        if "penstock" in cases and cases.get("nginx-lua", {}).get("cpu"):
            ratio = cases["penstock"]["cpu"] / cases["nginx-lua"]["cpu"]
            kind = "good" if ratio <= 1.0 else "far" if ratio <= 1.3 else "over"
            bars.append(Bar(label, ratio, f"{ratio:.2f} ×  ({cases['penstock']['cpu']:.0f} µs)", kind))
    scale = max([1.6, *(bar.value for bar in bars)])
    note = "CPU for one request: key, limit, access log, metrics ÷ nginx + Lua with key and limit, without a log"
    return Panel("Penstock against nginx + Lua", note, bars, scale, ((1.0, "goal 1.0"), (1.3, "bar 1.3")))
