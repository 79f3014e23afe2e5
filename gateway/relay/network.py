"""What all upstreams of one worker share: the egress list, the names they resolve, clock and deadlines."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from gateway.core.clock import Clock, SystemClock
from gateway.core.deadlines import Deadlines
from gateway.core.egress import Egress
from gateway.relay.names import AresResolver, Names, Resolver, Sleep


class Network:
    """One per worker; `close` it after its upstreams. `sleep` and `chance` (0 to 1) are seams for tests."""

    def __init__(
        self,
        egress: Egress | None = None,
        resolver: Resolver | None = None,
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.egress = egress or Egress()
        self.deadlines = Deadlines(clock or SystemClock())
        self.sleep = sleep
        self.chance = chance
        self._resolver = resolver or AresResolver()
        self.names = Names(self._resolver, sleep)

    @property
    def clock(self) -> Clock:
        return self.deadlines.clock

    async def close(self) -> None:
        await self._resolver.close()
