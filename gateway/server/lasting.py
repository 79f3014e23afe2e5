"""Exchanges that last are asked again whether their identity still holds: WebSockets, event streams, long downloads and
uploads. Short ones are never asked, and register nowhere: the connections of the worker are looked through instead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from gateway.core.clock import Clock
from gateway.core.exchange import Exchange
from gateway.core.leaving import Leaving

log: Final = logging.getLogger("gateway.auth")
PERIOD: Final = 0.25  # seconds; a revocation takes effect within a second
MOMENT: Final = 1.0  # seconds; an exchange that is younger does not last
SLICE: Final = 5000  # connections that are looked through before others have their turn


class Client(Protocol):
    """A connection of the worker."""

    @property
    def exchange(self) -> Exchange | None: ...

    def end_early(self, why: Leaving) -> None:
        """The exchange must end; asked again when it goes on."""
        ...


async def watch(connections: Callable[[], Iterable[Any]], clock: Clock) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(PERIOD)
        clients = list(connections())
        for start in range(0, len(clients), SLICE):
            recheck(clients[start : start + SLICE], clock)
            await asyncio.sleep(0)


def recheck(clients: Iterable[Client], clock: Clock) -> None:
    """Ends what lasts without an identity that holds."""
    now, begun_by = clock.time(), clock.monotonic() - MOMENT
    for client in clients:
        exchange = client.exchange
        if exchange is not None and exchange.started_at <= begun_by and not exchange.done and not _holds(exchange, now):
            try:
                client.end_early(Leaving.REVOKED)
            except Exception:  # the others must be ended all the same
                log.exception("request %s could not be ended", exchange.id)


def _holds(exchange: Exchange, now: float) -> bool:
    """An error never keeps a door open."""
    identity = exchange.identity
    if identity is None or identity.holds is None:
        return True
    try:
        held = identity.holds(identity, now)
    except Exception:
        log.exception("request %s: whether its identity still holds could not be decided", exchange.id)
        held = False
    if not held:
        log.info("request %s ends: credential %s no longer holds", exchange.id, identity.credential or "-")
    return held
