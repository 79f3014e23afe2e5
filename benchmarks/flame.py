"""A flame graph as SVG, from collapsed stacks (`outer;inner count` lines). Without script; names appear on hovering."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LETTER = 1200, 17, 6.6
LEAST = 0.002  # share of all samples below which a frame is not drawn
NOISE = re.compile(r"Py_X?DECREF\b|0x[0-9a-f]+")  # what native unwinding makes of inlined code
STYLE = """
  svg { background: #ffffff; } text { font: 11px ui-monospace, monospace; fill: #1f2328; pointer-events: none; }
  .title { font: 600 14px system-ui, sans-serif; } rect { stroke: #ffffff; stroke-width: 0.6; }
  .own { fill: #ffb86b; } .library { fill: #a8d1ff; } .native { fill: #d0d7de; } .all { fill: #eaeef2; }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117; } text { fill: #f0f6fc; } rect { stroke: #0d1117; }
    .own { fill: #9a5b13; } .library { fill: #1f5a94; } .native { fill: #3d444d; } .all { fill: #21262d; }
  }
"""


@dataclass
class Frame:
    """Samples in which this stack was seen, and what it had called then."""

    name: str
    count: int = 0
    inner: dict[str, Frame] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """How many frames of a visible width stand on each other."""
        return 1 + max((each.depth for each in self.inner.values()), default=0)


def fold(lines: Iterable[str], inside: Sequence[str] = ()) -> Frame:
    """The tree of stacks. With `inside` only those that pass through one of these functions, from there on: an event
    loop's way to its callbacks says nothing, and neither does a thread that waits."""
    root = Frame("all")
    for line in lines:
        stack, _, number = line.rpartition(" ")
        names = [name for name in stack.split(";") if name and not NOISE.match(name)]
        if inside:
            names = _from(names, inside)
        if not names:
            continue
        frame, count = root, int(number)
        frame.count += count
        for name in names:
            frame = frame.inner.setdefault(name, Frame(name))
            frame.count += count
    return root


def _from(names: list[str], inside: Sequence[str]) -> list[str]:
    """What stands inside of the outermost frame of such a name."""
    for index, name in enumerate(names):
        if name.partition(" (")[0] in inside:
            return names[index + 1 :]
    return []


def prune(frame: Frame, least: float) -> Frame:
    """Without frames of fewer samples."""
    kept = {name: prune(each, least) for name, each in frame.inner.items() if each.count >= least}
    return Frame(frame.name, frame.count, kept)


def draw(root: Frame, title: str) -> str:
    """Inner frames stand on outer ones; width is the share of samples."""
    tree = prune(root, root.count * LEAST)
    height = tree.depth * HEIGHT + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="22">{escape(title)}</text>',
        *_boxes(tree, 0.0, height - HEIGHT - 4, root.count or 1),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _boxes(frame: Frame, x: float, y: float, total: int) -> Iterator[str]:
    width = WIDTH * frame.count / total
    told = f"{frame.name}: {frame.count / total:.1%}"
    shown = _shown(frame.name, width)
    text = f'<text x="{x + 3:.1f}" y="{y + 12:.0f}">{escape(shown)}</text>' if shown else ""
    box = f'<rect class="{_kind(frame.name)}" x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="{HEIGHT}" rx="2"/>'
    yield f"<g><title>{escape(told)}</title>{box}{text}</g>"
    for each in sorted(frame.inner.values(), key=lambda inner: inner.name):
        yield from _boxes(each, x, y - HEIGHT, total)
        x += WIDTH * each.count / total


def _shown(name: str, width: float) -> str:
    """The function's name, as far as there is room."""
    short = re.sub(r" \(.*\)$", "", name)
    room = int((width - 6) / LETTER)
    if room < 3:
        return ""
    return short if len(short) <= room else short[: room - 1] + "…"


def _kind(name: str) -> str:
    """Whose code it is: the gateway's, another Python module's, or native."""
    match = re.search(r"\(([^()]*)\)$", name)
    if name == "all":
        return "all"
    if match is None or not re.search(r"\.py(:\d+)?$", match[1]):
        return "native"
    return "own" if match[1].startswith(("gateway/", "gateway\\")) else "library"
