"""What all connections of one worker share: the sweep, the trusted proxies, what it takes on, the Date line."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any, Final

from gateway.core.deadlines import Deadlines
from gateway.core.live import LiveCell
from gateway.server.overload import Overload
from gateway.server.protocol_peer import Trust

SHARED: Final = "penstock.shared"
SERVER: Final = b"\r\nServer: penstock"


class Shared:
    """Kept in uvicorn's lifespan state beside the live cell, so that there are no globals."""

    def __init__(self, live: LiveCell) -> None:
        self.live = live
        self.deadlines = Deadlines(live.clock)
        self.trust = Trust(live.trusted)
        self.overload = Overload(live)
        self._dated = -1.0
        self._common = b""

    @classmethod
    def of(cls, app_state: dict[str, Any]) -> Shared | None:
        """None while there is nothing live."""
        shared = app_state.get(SHARED)
        live = app_state.get("live")
        if live is not None and (shared is None or shared.live is not live):
            shared = app_state[SHARED] = cls(live)
        return shared if isinstance(shared, cls) else None

    def common(self) -> bytes:
        """The Server and Date lines (RFC 9110 section 6.6.1); the date is renewed by the second."""
        now = self.deadlines.now
        if not 0.0 <= now - self._dated < 1.0:
            self._dated = now
            date = formatdate(self.live.clock.time(), usegmt=True).encode()
            self._common = SERVER + b"\r\nDate: " + date
        return self._common
