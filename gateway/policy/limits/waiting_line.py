"""Exchanges that wait for a slot: in order, for a time, and no more than so many of each subject.

A slot that this worker gives back goes to the first in its line at once. That others gave one back nobody tells: the
first in the line asks again every LOOK seconds. A slot is given back once, when its exchange ends; an exchange that
ended before its slot was granted gives it back on the spot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Final

from gateway.core.exchange import Exchange, Wait
from gateway.store.leases import Lease

LOOK: Final = 0.02  # seconds between two questions of the first in a line


class _Waiting:
    __slots__ = ("due", "wait")

    def __init__(self, wait: Wait, due: float) -> None:
        self.wait = wait
        self.due = due  # monotonic time of the loop


class _Queue(deque[_Waiting]):
    """Of one subject. `asking`: the store has been asked for its first."""

    asking = False
    timer: asyncio.TimerHandle | None = None


class Line:
    """`patience`: seconds that one waits. `most`: how many wait for each subject; 0: nobody does."""

    def __init__(self, lease: Lease, patience: float, most: int) -> None:
        self._lease = lease
        self._patience = patience
        self._most = most
        self._queues: dict[str, _Queue] = {}

    def enter(self, subject: str, wait: Wait) -> None:
        """Delivers True, False or None (nobody can tell) to the wait."""
        queue = self._queues.get(subject)
        if queue:
            self._stand(subject, queue, wait)  # behind those who came before
        else:
            self._lease.take(subject, partial(self._answered, subject, wait))

    def _answered(self, subject: str, wait: Wait, granted: bool | None) -> None:
        if granted:
            self._grant(subject, wait)
        elif granted is None or not self._most or wait.exchange.done:
            wait.deliver(granted)
        else:
            self._stand(subject, self._queues.setdefault(subject, _Queue()), wait)

    def _grant(self, subject: str, wait: Wait) -> None:
        if wait.exchange.done:
            self._give(subject)
        else:
            wait.exchange.on_close(partial(self._closed, subject))
            wait.deliver(True)

    def _closed(self, subject: str, _exchange: Exchange) -> None:
        self._give(subject)

    def _give(self, subject: str) -> None:
        self._lease.give(subject)
        if queue := self._queues.get(subject):
            self._ask_soon(subject, queue)

    # those who wait

    def _stand(self, subject: str, queue: _Queue, wait: Wait) -> None:
        if len(queue) >= self._most:
            self._sweep(queue)
        if len(queue) >= self._most:
            wait.deliver(False)
            return
        queue.append(_Waiting(wait, asyncio.get_running_loop().time() + self._patience))
        self._later(subject, queue)

    def _later(self, subject: str, queue: _Queue) -> None:
        if queue.timer is None:
            loop = asyncio.get_running_loop()
            pause = min(LOOK, max(0.0, queue[0].due - loop.time()))
            queue.timer = loop.call_later(pause, self._look, subject, queue)

    def _look(self, subject: str, queue: _Queue) -> None:
        queue.timer = None
        now = asyncio.get_running_loop().time()
        while queue and not queue.asking and (queue[0].wait.exchange.done or queue[0].due <= now):
            _refuse(queue.popleft().wait)
        self._ask(subject, queue)
        if queue:
            self._later(subject, queue)
        elif not queue.asking:
            self._queues.pop(subject, None)

    def _sweep(self, queue: _Queue) -> None:
        """Those who left make room."""
        staying = [
            each for index, each in enumerate(queue) if not each.wait.exchange.done or (queue.asking and not index)
        ]
        queue.clear()
        queue.extend(staying)

    def _ask(self, subject: str, queue: _Queue) -> None:
        """For the first in the line; one question at a time."""
        if queue and not queue.asking:
            queue.asking = True
            self._lease.take(subject, partial(self._asked, subject, queue))

    def _ask_soon(self, subject: str, queue: _Queue) -> None:
        """Not at once: who is granted a slot may end at once, and so on along the line."""
        asyncio.get_running_loop().call_soon(self._ask, subject, queue)

    def _asked(self, subject: str, queue: _Queue, granted: bool | None) -> None:
        queue.asking = False
        if granted is False or not queue:
            if granted:
                self._lease.give(subject)
            return
        wait = queue.popleft().wait
        if granted:
            self._grant(subject, wait)
            self._ask_soon(subject, queue)  # there may be more
        elif not wait.exchange.done:
            wait.deliver(None)


def _refuse(wait: Wait) -> None:
    if not wait.exchange.done:
        wait.deliver(False)
