"""Why the gateway ends an exchange that would go on: a WebSocket, an event stream, a long download or upload."""

from __future__ import annotations

from enum import Enum


class Leaving(Enum):
    """`code` and `reason` are those of a WebSocket's close frame (RFC 6455 section 7.4.1); `patience` is how many
    seconds the ends have to close before they are cut."""

    DRAINING = (1001, "going away", 2.0)
    REVOKED = (1008, "the credential is no longer valid", 0.4)
    SILENT = (1001, "idle for too long", 2.0)

    def __init__(self, code: int, reason: str, patience: float) -> None:
        self.code = code
        self.reason = reason
        self.patience = patience
