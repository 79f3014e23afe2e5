"""Services as a cluster has them: virtual addresses that the node's rules turn into those of ready pods.

As kube-proxy does it: a new connection goes to one of the ready pods by chance, one that stands stays with its pod. An
address without pods refuses. What a change means takes effect `delay` seconds later, as in a cluster, where several
programs tell each other: a pod that is ending still gets connections for so long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.charts.run.places import Place, Places
from tests.charts.run.policies import Policies
from tests.charts.run.rendered import Object


@dataclass(frozen=True)
class Service:
    """One as rendered, with the address that it was given; "" where it has none (headless)."""

    name: str
    namespace: str
    address: str
    selector: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, int, str | int], ...]  # name, port, target
    unready: bool  # publishNotReadyAddresses

    def places(self, everybody: Places) -> list[Place]:
        """Its endpoints."""
        wanted = dict(self.selector).items()
        return [
            each
            for each in everybody
            if each.namespace == self.namespace
            and wanted <= each.labels.items()
            and not (each.gone and not self.unready)
            and (each.ready or self.unready)
        ]


def service(found: Object, namespace: str, address: str) -> Service:
    spec = found["spec"]
    return Service(
        found["metadata"]["name"],
        namespace,
        "" if spec.get("clusterIP") == "None" else address,
        tuple((spec.get("selector") or {}).items()),
        tuple((each.get("name", ""), each["port"], each.get("targetPort", each["port"])) for each in spec["ports"]),
        bool(spec.get("publishNotReadyAddresses")),
    )


class Proxy:
    """Writes the node's rules anew after each change, in a thread of its own."""

    def __init__(self, places: Places, policies: Policies, delay: float) -> None:
        self.places, self.policies, self.delay = places, policies, delay
        self.services: dict[tuple[str, str], Service] = {}
        self._next = 20
        self._wake = threading.Condition()
        self._wanted: float | None = 0.0
        self._closed = False
        self._loaded = ""
        self.error: BaseException | None = None
        places.changed.append(self.change)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, found: Object, namespace: str, address: str = "") -> Service:
        """A Service keeps its address when it is put again."""
        key = namespace, found["metadata"]["name"]
        if not address:
            address = self.services[key].address if key in self.services else f"10.96.0.{self._next}"
            self._next += 1
        self.services[key] = service(found, namespace, address)
        self.change()
        return self.services[key]

    def remove(self, namespace: str, name: str) -> None:
        self.services.pop((namespace, name), None)
        self.change()

    def change(self) -> None:
        with self._wake:
            if self._wanted is None:
                self._wanted = time.monotonic() + self.delay
            self._wake.notify()

    def now(self) -> None:
        """What holds at this moment, at once: for tests of rules, not of time."""
        self._load()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(10)

    def _run(self) -> None:
        while self._due():
            try:
                self._load()
            except BaseException as error:
                self.error = error

    def _due(self) -> bool:
        with self._wake:
            while not self._closed:
                left = None if self._wanted is None else self._wanted - time.monotonic()
                if left is not None and left <= 0:
                    self._wanted = None
                    return True
                self._wake.wait(left)
        return False

    def _load(self) -> None:
        text = "\n".join([*self._translation(), *self.policies.rules(self.places)])
        if text != self._loaded:
            self.places.network.rules(text + "\n")
            self._loaded = text

    def _translation(self) -> list[str]:
        chosen, refused = [], []
        for each in list(self.services.values()):
            for _, port, target in each.ports if each.address else ():
                found = list(_targets(each.places(self.places), target))
                match = f"ip daddr {each.address} tcp dport {port}"
                if found:
                    chosen.append(f"    {match} {_spread(found)}")
                else:
                    refused.append(f"    {match} reject with tcp reset")
        back = [f"    ip saddr {place.address} ip daddr {place.address} masquerade" for place in self.places]
        return [
            *_fresh("services"),
            "table ip services {",
            *_chain("before", "type nat hook prerouting priority dstnat;", chosen),
            *_chain("own", "type nat hook output priority -100;", chosen),
            *_chain("back", "type nat hook postrouting priority srcnat;", back),
            *_chain("none", "type filter hook prerouting priority -150;", refused),
            *_chain("none_own", "type filter hook output priority -150;", refused),
            "}",
        ]


def _targets(places: Iterable[Place], target: str | int) -> Iterator[tuple[str, int]]:
    """Addresses with ports; a pod that has no port of that name is no target."""
    for each in places:
        if isinstance(target, int):
            yield each.address, target
        elif target in each.ports:
            yield each.address, each.ports[target]


def _spread(found: list[tuple[str, int]]) -> str:
    """One of the targets by chance."""
    targets = ", ".join(f"{number} : {address} . {port}" for number, (address, port) in enumerate(found))
    return f"dnat ip to numgen random mod {len(found)} map {{ {targets} }}"


def _chain(name: str, kind: str, rules: list[str]) -> list[str]:
    return [f"  chain {name} {{", f"    {kind}", *rules, "  }"]


def _fresh(name: str) -> list[str]:
    """There before it is deleted, so that deleting it does not fail the first time."""
    return [f"table ip {name}", f"delete table ip {name}"]
