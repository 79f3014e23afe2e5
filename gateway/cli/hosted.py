"""Whether runtimes can be reached and every process of what is live can run: one look of `penstock doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.cli.finding import Found

Items = Sequence[Mapping[str, Any]]


def hosted(runtimes: Items, processes: Items) -> Iterator[Found]:
    """Of what `/runtimes` and `/processes` answer."""
    for each in runtimes:
        yield from _runtime(each)
    for each in processes:
        if each["code"] == "none":
            why = "; ".join(each["why"]) or "no runtime that is connected hosts it"
            seen = f"{each['operation']} cannot run: {why}"
            out = f"Start a runtime that hosts {each['process']}, or publish what is hosted: penstock processes."
            yield Found(f"version {each['version']}", "bad", seen, out)


def _runtime(told: Mapping[str, Any]) -> Iterator[Found]:
    what = f"runtime {told['name']}"
    cut = [f"{node['node']} ({node['trouble']})" for node in told["nodes"] if not node["connected"]]
    if not told["connected"]:
        yield Found(
            what, "bad", f"not reached at {told['place']}: {told['trouble']}", "Start it, or mend the way to it."
        )
    elif cut:
        out = "Compare the settings runtimes and runtime_token of these nodes, and who may connect to it."
        yield Found(what, "bad", f"not reached by {', '.join(cut)}", out)
    else:
        count = told["connected"]
        yield Found(what, "ok", f"{count} process{'' if count == 1 else 'es'} connected at {told['place']}")
