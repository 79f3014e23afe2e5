"""The first page: what is live, how it does, and what needs attention."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response

from gateway.admin.console.visit import Page, Visit, to
from gateway.core.clock import Clock
from gateway.telemetry.counters import CLASSES, total

WINDOW: Final = 60.0  # seconds that the numbers per second are of, at most
LEAST: Final = 0.4  # seconds between two looks, so that a first page has numbers, too
FAILED: Final = CLASSES.index("5xx")
REFUSED: Final = CLASSES.index("4xx")
EXPIRING: Final = "14d"

Numbers = dict[str, tuple[int, int, int]]  # requests, 4xx, 5xx, by component@version


@dataclass
class Overview:
    metrics: Callable[[], Sequence[Mapping[str, Any]]]
    clock: Clock
    _looks: deque[tuple[float, Numbers]] = field(default_factory=deque)

    @property
    def PAGES(self) -> Sequence[tuple[str, str, Page]]:  # noqa: N802 (as the modules of pages have it)
        return (("", "GET", self.show),)

    async def show(self, visit: Visit) -> Response:
        nodes = (await visit.get("nodes")).items
        versions = await visit.pages("versions")
        told = await visit.get("health")
        if not self._looks:
            self._look()
            await asyncio.sleep(LEAST)
        rates = self._rates({each["name"] for each in versions})
        found = [
            *_of_nodes(nodes),
            *_of_versions(versions, rates),
            *await _of_keys(visit),
        ]
        if told.value["store"] != "up":
            found.insert(0, ("The store is away.", str(told.value["store"]), ""))
        sums = [sum(numbers) for numbers in zip(*rates.values(), strict=True)] if rates else [0.0, 0.0, 0.0]
        return visit.page(
            "overview.html", nodes=nodes, versions=versions, rates=rates, sums=sums, attention=found, health=told.value
        )

    def _look(self) -> None:
        numbers: Numbers = {}
        for entry in total(self.metrics())["endpoints"]:
            name, classes = f"{entry['component']}@{entry['version']}", entry["classes"]
            before = numbers.get(name, (0, 0, 0))
            more = sum(classes), classes[REFUSED], classes[FAILED]
            numbers[name] = before[0] + more[0], before[1] + more[1], before[2] + more[2]
        now = self.clock.monotonic()
        self._looks.append((now, numbers))
        while len(self._looks) > 2 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()

    def _rates(self, names: set[str]) -> dict[str, tuple[float, float, float]]:
        """Per second since the oldest look of the last minute; a worker that began again counts from nothing."""
        self._look()
        (then, before), (now, after) = self._looks[0], self._looks[-1]
        spent = max(now - then, LEAST)
        found = {}
        for name in names:
            old, new = before.get(name, (0, 0, 0)), after.get(name, (0, 0, 0))
            requests, refused, failed = (max(0, b - a) / spent for a, b in zip(old, new, strict=True))
            found[name] = requests, refused, failed
        return found


Attention = tuple[str, str, str]  # what, more of it, where


def _of_nodes(nodes: Sequence[Mapping[str, Any]]) -> Iterator[Attention]:
    """A token that is bound to components is told less of nodes."""
    serving = {str(each["name"]): str(each["snapshot"]) for each in nodes if "snapshot" in each}
    if len(set(serving.values())) > 1:
        yield "Nodes serve different snapshots.", ", ".join(f"{name}: {hash}" for name, hash in serving.items()), ""
    for each in nodes:
        if each.get("error"):
            yield f"Node {each['name']} cannot serve the newest state.", str(each["error"]), ""
        if each.get("workers") == 0:
            yield f"Node {each['name']} has no worker.", "Its log says why.", ""
        for problem in each.get("problems", ()):
            yield f"Node {each['name']}", str(problem), ""


def _of_versions(
    versions: Sequence[Mapping[str, Any]], rates: Mapping[str, tuple[float, float, float]]
) -> Iterator[Attention]:
    for each in versions:
        name = each["name"]
        where = to("apis", name)
        requests, _, failed = rates[name]
        if failed:
            yield f"{name} answers 5xx.", f"{failed:.2f} of {requests:.2f} a second", where
        if each["canary"]:
            yield f"{name} has a canary.", "Promote it or abort it when you have seen enough.", where
        if each["status"] == "deprecated" and requests:
            yield f"{name} is deprecated and still called.", f"{requests:.2f} a second", where


async def _of_keys(visit: Visit) -> list[Attention]:
    keys = (await visit.get("keys", query={"expiring": EXPIRING})).items
    if not keys:
        return []
    names = sorted({str(each["application"]) for each in keys})
    what = f"{len(keys)} key{'s' * (len(keys) > 1)} will end within {EXPIRING}."
    return [(what, f"Of {', '.join(names[:5])}: rotate them.", to("applications", names[0]))]
