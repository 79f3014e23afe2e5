"""Size: a node with 10,000 routes of 1,000 versions and 100,000 keys beside one with ten routes and ten keys; and what
a publish among those 1,000 versions takes, and does to requests meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.load import Paced
from benchmarks.messages import Message
from benchmarks.peers.peer import LOAD, Running, Site
from benchmarks.peers.penstock import node
from benchmarks.rows import Case, Row
from gateway.cli.client import Admin

COMPONENTS, VERSIONS, ROUTES, KEYS = 100, 10, 10, 100_000
ASKED = ("c50", "v5")  # whose route the load uses: neither the first nor the last
RATE, LONGEST = 1000, 60.0  # of the paced load during a publish: a second, seconds
QUIET, SETTLED = 5.0, 1.0  # seconds of the same load without a publish; before and after it

LARGE, SMALL = "10,000 routes", "10 routes"
MESSAGE = Message("/c50/v5/r5/items/42")
ROW = Row(
    "scale",
    "Relay, key and exact limit, among 10,000 routes of 1,000 versions with 100,000 keys",
    (Case(SMALL, SMALL, MESSAGE), Case(LARGE, LARGE, MESSAGE)),
)


def document(component: str, version: str, title: str = "One of many") -> str:
    """A version of ten relayed routes."""
    routes = "\n".join(
        f'  "GET /r{route}/items/{{id}}": {{relay: up, path: "/items/{{id}}"}}' for route in range(ROUTES)
    )
    return f"""kind: ApiComponent
name: {component}
version: {version}
title: {title}
base_path: /{component}/{{version}}
values: {{up: {{required: true}}}}
backends: {{up: {{http: {{targets: ["${{up}}"]}}}}}}
policies:
  - {{use: api-key}}
  - {{use: rate-limit, with: {{limit: 100000000/1m}}}}
rest:
{routes}
"""


def write(folder: Path, components: list[str], versions: list[str]) -> Path:
    """The documents of a node, one file a component."""
    folder.mkdir(parents=True)
    for component in components:
        texts = [document(component, version) for version in versions]
        (folder / f"{component}.yaml").write_text("---\n".join(texts))
    return folder


@contextmanager
def nodes(folder: Path, upstream: int) -> Iterator[tuple[dict[str, Running], float]]:
    """Both nodes by their case's label, and the seconds that the large one took to start."""
    names = [f"c{number}" for number in range(COMPONENTS)]
    names.sort(key=lambda name: name != ASKED[0])  # the load's key is the first one, and opens the first API
    versions = [f"v{number}" for number in range(1, VERSIONS + 1)]
    with ExitStack() as stack:
        running = {}
        for label, components, wanted, count in (
            (SMALL, [ASKED[0]], [ASKED[1]], 10),
            (LARGE, names, versions, KEYS),
        ):
            place = folder / label.replace(",", "").replace(" ", "-")
            place.mkdir()
            manifests = write(place / "manifests", components, wanted)
            began = time.perf_counter()
            running[label] = stack.enter_context(node(Site(place, upstream), manifests, count, components))
        yield running, time.perf_counter() - began


def publish(running: Running, folder: Path) -> dict[str, float]:
    """Seconds of a publish of one version, and of a plan, which lies over all of them; and for each the milliseconds by
    which the slowest request meanwhile was slower than the slowest without a publish."""
    version, plan = folder / "changed.yaml", folder / "plan.yaml"
    version.write_text(document("c7", "v3", "Changed") + '  "GET /more/{id}": {relay: up, path: "/items/{id}"}\n')
    plan.write_text("kind: Plan\nname: gold\npolicies: [{use: rate-limit, with: {limit: 100000000/1m}}]\n")
    undisturbed = _loading(running)
    time.sleep(QUIET)
    quiet = undisturbed.stop().most
    found = {"publish_quiet_slowest_ms": quiet}
    for name, path in (("publish", version), ("plan", plan)):
        took, slowest, wrong = _published(running, path)
        found |= {f"{name}_seconds": took, f"{name}_slowest_ms": slowest, f"{name}_wrong": wrong}
        found[f"{name}_slowed_ms"] = max(0.0, slowest - quiet)
    return found


def _loading(running: Running) -> Paced:
    return Paced(running.port, MESSAGE, RATE, 32, LONGEST, LOAD)


def _published(running: Running, path: Path) -> tuple[float, float, float]:
    """(seconds, milliseconds of the slowest request meanwhile, requests that failed)."""
    assert running.admin is not None
    disturbed = _loading(running)
    time.sleep(SETTLED)
    began = time.perf_counter()
    Admin(*running.admin).documents([path])
    took = time.perf_counter() - began
    time.sleep(SETTLED)
    seen = disturbed.stop()
    return took, seen.most, seen.wrong
