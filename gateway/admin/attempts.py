"""How often credentials may be wrong: bounded for each address, so that nobody tries them out and nobody's guesses cost
the store more than a look-up each now and then. What an address may still do comes back with time."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from gateway.core.clock import Clock
from gateway.core.errors import TooManyRequests

MOST: Final = 30  # wrong credentials at once
EVERY: Final = 2.0  # seconds until an address may have one more
ADDRESSES: Final = 10_000  # that are remembered; the one that was wrong longest ago goes first


class TooManyAttempts(TooManyRequests):
    title, code = "Too many wrong credentials", "too_many_attempts"


@dataclass
class Attempts:
    """Per process. An address stands for its network: a host has a whole /64 of IPv6."""

    clock: Clock
    most: int = MOST
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)  # what is left, as of when

    def check(self, address: str) -> None:
        """TooManyAttempts, with Retry-After."""
        left = self._now(_network(address))
        if left < 1:
            wait = max(1, round((1 - left) * EVERY + 0.5))
            text = f"Too many wrong credentials came from this address. Try again in {wait} s."
            raise TooManyAttempts(text, headers=[(b"Retry-After", str(wait).encode())])

    def wrong(self, address: str) -> None:
        network = _network(address)
        self._left[network] = (self._now(network) - 1, self.clock.monotonic())
        self._left.move_to_end(network)
        if len(self._left) > ADDRESSES:
            self._left.popitem(last=False)

    def _now(self, network: str) -> float:
        left, then = self._left.get(network, (float(self.most), 0.0))
        return min(float(self.most), left + (self.clock.monotonic() - then) / EVERY)


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
