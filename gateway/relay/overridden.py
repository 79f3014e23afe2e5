"""Sending one exchange in a way of its own that is more than other settings: what its backend knows it by lets it be
sent again, and it may pass circuits."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.exchange import Exchange
from gateway.core.headers import finder
from gateway.core.override import Override
from gateway.relay.rotation import Rotation
from gateway.relay.target import Pool
from gateway.relay.watched import Watched, WatchedFetching, WatchedForwarding


class Overridden(Watched):
    """`_keyed`: the request carries what its backend knows it by."""

    __slots__ = ()

    _keyed: bool
    _past_circuits: bool

    def idempotent(self) -> bool:
        return self._keyed or super().idempotent()

    def _may_repeat_answered(self) -> bool:
        return self._keyed or super()._may_repeat_answered()

    def _choose(self) -> Pool | None:
        found = super()._choose()
        if found is None and self._past_circuits and self._rotation.pools:
            return self._rotation.any_pool()
        return found

    def _enter(self, pool: Pool) -> int:
        return 0 if self._past_circuits else super()._enter(pool)

    def _judge(self, failed: bool | None) -> None:
        if self._past_circuits:
            self._judged = True
        else:
            super()._judge(failed)


class OverriddenForwarding(Overridden, WatchedForwarding):
    """A relay's."""

    __slots__ = ()

    def __init__(
        self, exchange: Exchange, rotation: Rotation, target: bytes, key: bytes | None, override: Override
    ) -> None:
        WatchedForwarding.__init__(self, exchange, rotation, target, key)
        self._keyed = _carries(exchange, override)
        self._past_circuits = bool(override.past_circuits)


class OverriddenFetching(Overridden, WatchedFetching):
    """A typed call's."""

    __slots__ = ()

    def __init__(
        self,
        rotation: Rotation,
        method: bytes,
        target: bytes,
        fields: Sequence[tuple[bytes, bytes]],
        body: bytes,
        limit: int,
        key: bytes | None,
        override: Override,
    ) -> None:
        WatchedFetching.__init__(self, rotation, method, target, fields, body, limit, key)
        self._keyed = any(name.lower() == override.keyed for name, _ in fields)
        self._past_circuits = bool(override.past_circuits)


def _carries(exchange: Exchange, override: Override) -> bool:
    """What the upstream gets has the field."""
    name = override.keyed
    if name is None or name in exchange.chain.conceals:
        return False
    if exchange.edited is not None and name in exchange.edited.drop:
        return False
    return bool(finder(name)(exchange.head.block))
