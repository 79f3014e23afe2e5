"""Who is in the network: every pod with its address, its labels and whether it is ready. Services, names and policies
are worked out from this register whenever it changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.charts.run.network import Link, Network


@dataclass
class Place:
    """A pod as the network sees it. `gone` since its end was ordered; `since` is when `ready` changed, in seconds since
    1970."""

    name: str
    namespace: str
    labels: dict[str, str]
    link: Link
    ports: dict[str, int] = field(default_factory=dict)
    hostname: str = ""
    subdomain: str = ""
    ready: bool = False
    gone: bool = False
    since: float = field(default_factory=time.time)

    @property
    def address(self) -> str:
        return self.link.address


class Places:
    """Tells `changed` of everything that joins, leaves, or becomes ready or unready."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.changed: list[Callable[[], None]] = []
        self._places: dict[int, Place] = {}
        self._lock = threading.RLock()

    def join(self, place: Place) -> Place:
        with self._lock:
            self._places[id(place)] = place
        self.tell()
        return place

    def bare(self, name: str, namespace: str, labels: dict[str, str], **ports: int) -> Place:
        """A pod of the run's own, for clients and small servers of it: a place in the network without containers."""
        place = Place(name, namespace, labels, self.network.join(), ports, name, ready=True)
        return self.join(place)

    def leave(self, place: Place) -> None:
        with self._lock:
            self._places.pop(id(place), None)
        self.tell()
        self.network.leave(place.link)

    def set(self, place: Place, *, ready: bool | None = None, gone: bool | None = None) -> None:
        if ready is not None and ready != place.ready:
            place.ready, place.since = ready, time.time()
            self.tell()
        if gone is not None and gone != place.gone:
            place.gone = gone
            self.tell()

    def tell(self) -> None:
        for each in self.changed:
            each()

    def __iter__(self) -> Iterator[Place]:
        with self._lock:
            return iter(list(self._places.values()))
