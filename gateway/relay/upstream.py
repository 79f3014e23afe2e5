"""The seam of HTTP upstreams: what relays and typed HTTP calls need of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.core.exchange import Step
from gateway.core.headers import Fields
from gateway.core.override import Override


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer. Field names are in lower case."""

    status: int
    fields: Fields
    body: bytes

    def get(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.fields if key == name), None)


class Upstream(Protocol):
    """One backend's targets with their pools. Raises BadGateway, GatewayTimeout."""

    def relay(self, template: str | None, parameters: tuple[str, ...], websocket: bool | None = None) -> Step:
        """The last step of a relay. `template` is the upstream path: `{name}` and `**` stand for what the route's
        parameters of that name matched, raw; None forwards the request's own path. `websocket`:
        whether handshakes may open tunnels; None: unless the chain works on bodies."""
        ...

    async def fetch(
        self,
        method: bytes,
        target: bytes,
        fields: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        limit: int = 8 * 1024 * 1024,
        application: str | None = None,
        override: Override | None = None,
    ) -> Fetched:
        """`application`: who asks, where targets are chosen by it. `override`: how this one is sent."""
        ...

    async def close(self) -> None: ...
