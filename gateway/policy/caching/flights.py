"""Requests that would fetch the same thing at once: one of them does, the others wait for it, for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from enum import Enum
from typing import Any, Final

from gateway.core.clock import Clock
from gateway.core.exchange import Wait
from gateway.policy.caching.entry import Entry, Shape

REMEMBERED: Final = 4096
PASSING: Final = 10.0  # seconds for which requests for what could not be stored do not wait for each other

Key = tuple[str, bytes]


class End(Enum):
    """Why a flight brought nothing: it is no use to wait for another, or its request went away."""

    NOTHING = "nothing"
    LEFT = "left"


Landed = tuple[Entry, bytes] | End  # the response, and the field that it was stored under


class Flight:
    """`waiting`: the requests that a landing is delivered to, in their order."""

    __slots__ = ("timer", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Wait] = []
        self.timer: asyncio.TimerHandle | None = None


class Flights:
    """Of one step in one worker. `wait`: seconds until those who wait for a flight go by themselves."""

    def __init__(self, clock: Clock, wait: float) -> None:
        self._clock = clock
        self._wait = wait
        self._running: dict[Key, Flight] = {}
        self._passing: OrderedDict[Key, float] = OrderedDict()  # until when
        self._shapes: OrderedDict[str, Shape] = OrderedDict()

    def running(self, key: Key) -> bool:
        return key in self._running

    def passes(self, key: Key) -> bool:
        """The last one of that key could not be stored."""
        until = self._passing.get(key)
        return until is not None and until > self._clock.monotonic()

    def begin(self, key: Key) -> None:
        self._running[key] = Flight()

    def join(self, key: Key, wait: Wait) -> None:
        flight = self._running[key]
        flight.waiting.append(wait)
        if flight.timer is None:
            loop = asyncio.get_running_loop()
            flight.timer = loop.call_later(self._wait, self._give_up, key, flight)

    def _give_up(self, key: Key, flight: Flight) -> None:
        """The flight goes on; those that come from now on wait again."""
        flight.timer = None
        waiting, flight.waiting = flight.waiting, []
        _deliver(waiting, End.NOTHING)

    def land(self, key: Key, landed: Landed, *, passing: bool = False) -> None:
        """A flight that brought nothing because its client left: one of those who wait goes in its place."""
        flight = self._running.pop(key, None)
        if passing:
            self._passing[key] = self._clock.monotonic() + PASSING
            _trim(self._passing)
        elif isinstance(landed, tuple):
            self._passing.pop(key, None)
        if flight is None:
            return
        if flight.timer is not None:
            flight.timer.cancel()
        _deliver(flight.waiting, landed)

    # what is known of URLs

    def shape(self, url: str) -> Shape | None:
        return self._shapes.get(url)

    def learn(self, url: str, shape: Shape) -> None:
        self._shapes[url] = shape
        self._shapes.move_to_end(url)
        _trim(self._shapes)


def _deliver(waiting: list[Wait], landed: Landed) -> None:
    for wait in waiting:
        if not wait.exchange.done:
            wait.deliver(landed)


def _trim(found: OrderedDict[Any, Any]) -> None:
    if len(found) > REMEMBERED:
        found.popitem(last=False)
