"""An HTTP upstream: its targets in rotation, each with its pool of connections."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from gateway.core import target as targets_
from gateway.core.clock import Clock
from gateway.core.errors import BadRequest
from gateway.core.exchange import ANSWERING, Answering, Edits, Exchange, Reply, Step
from gateway.core.locations import Location
from gateway.core.override import Override
from gateway.relay import upgrading
from gateway.relay.certificates import system
from gateway.relay.fetch import Fetching
from gateway.relay.forward import Forwarding
from gateway.relay.health import Checks
from gateway.relay.keys import exchange_key, fetch_key
from gateway.relay.network import Network
from gateway.relay.overridden import OverriddenFetching, OverriddenForwarding
from gateway.relay.rotation import Rotation, identified, states
from gateway.relay.settings import IN_TURN, Balancing, ExchangeKey, Settings
from gateway.relay.state import State
from gateway.relay.upgrading import Upgrading
from gateway.relay.upstream import Fetched
from gateway.relay.watched import WatchedFetching, WatchedForwarding, WatchedUpgrading

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE: Final = re.compile(rb"/[!-\"$-~]*")
_QUERY: Final = re.compile(rb"[!-\"$-~]*")
_PART: Final = re.compile(r"\{([^{}]+)\}|(\*\*)")
_WHOLE: Final = re.compile(r"/(?:\{[^{}]+\}(?=/|\Z)|\*\*\Z)")


def open_upstream(
    targets: Sequence[str | tuple[str, int]],
    *,
    balancing: Balancing = IN_TURN,
    tls: ssl.SSLContext | None = None,
    network: Network | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> HttpUpstream:
    """An upstream of these URLs (see `core/locations.py`), or (URL, weight); a prefix stands before every path.
    Nothing is connected yet. `settings` are those of `Settings`; `tls` is for https targets (default: the system's
    certificates); a `network` is the caller's to close. ValueError names a target that is none, or that the egress
    list forbids."""
    if not targets:
        raise ValueError("an upstream needs at least one target")
    owned = network is None
    network = network or Network(clock=clock)
    parsed = [_weighted(target, network) for target in targets]
    if tls is None and any(location.tls for location, _ in parsed):
        tls = system()
    rotation = Rotation(parsed, Settings(**settings), network, balancing, tls)
    checks = None if balancing.health is None else Checks(rotation, balancing.health, network, tls)
    return HttpUpstream(rotation, checks, network if owned else None)


def _weighted(target: str | tuple[str, int], network: Network) -> tuple[Location, int]:
    url, weight = target if isinstance(target, tuple) else (target, 1)
    location = Location.parse(url)
    if reason := network.egress.refuses_location(location):
        raise ValueError(f"the target {location} is not allowed: {reason}.")
    return location, weight


class HttpUpstream:
    """Implements `relay.upstream.Upstream`."""

    def __init__(self, rotation: Rotation, checks: Checks | None, owned: Network | None) -> None:
        self._rotation = rotation
        self._checks = checks
        self._owned = owned
        self._fetch_key = fetch_key(rotation.balancing.hashing)
        self._relays: dict[tuple[str | None, tuple[str, ...], bool | None], Step] = {}

    def relay(self, template: str | None, parameters: tuple[str, ...], websocket: bool | None = None) -> Step:
        """One for all routes that go to the same path."""
        how = template, parameters, websocket
        if how not in self._relays:
            self._relays[how] = self._relay(*how)
        return self._relays[how]

    def _relay(self, template: str | None, parameters: tuple[str, ...], websocket: bool | None) -> Step:
        path_of = compile_template(template, parameters)
        rotation = self._rotation
        if rotation.watched:
            return _watched_relay(rotation, path_of, exchange_key(rotation.balancing.hashing, parameters), websocket)

        def relay(exchange: Exchange) -> Answering | Reply:
            target = _target(exchange, path_of)
            if exchange.notes is not None and Override in exchange.notes and not exchange.head.upgrade:
                return _overridden(exchange, rotation, target, None)
            if exchange.head.upgrade and upgrading.asks(exchange, websocket):
                return upgrading.upgrade(exchange, lambda shake: Upgrading(exchange, rotation, target, shake))
            Forwarding(exchange, rotation, target).go()
            return ANSWERING

        return relay

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
        if _TOKEN.fullmatch(method.decode("latin-1")) is None or _VISIBLE.fullmatch(target) is None:
            raise ValueError(f"not a request: {method!r} {target!r}")
        fetching: Fetching
        rotation = self._rotation
        settings = rotation.settings if override is None else rotation.overridden(override)
        if override is not None and override.special:
            key = self._fetch_key(target, fields, application)
            fetching = OverriddenFetching(rotation, method, target, fields, body, limit, key, override)
        elif rotation.watched or settings.watches:
            key = self._fetch_key(target, fields, application)
            fetching = WatchedFetching(rotation, method, target, fields, body, limit, key)
        else:
            fetching = Fetching(rotation, method, target, fields, body, limit)
        fetching.override(settings)
        fetching.go()
        try:
            return await fetching.future
        finally:
            if fetching.future.cancelled():
                fetching.withdraw()

    def states(self) -> list[dict[str, Any]]:
        """What is known of each target, JSON-ready."""
        return states(self._rotation)

    def identified(self) -> list[tuple[State, dict[str, Any]]]:
        """The same, each with what it is known by as long as it lives."""
        return identified(self._rotation)

    async def close(self) -> None:
        if self._checks is not None:
            await self._checks.close()
        await self._rotation.close()
        if self._owned is not None:
            await self._owned.close()


def _overridden(exchange: Exchange, rotation: Rotation, target: bytes, key: bytes | None) -> Answering:
    """A step said how this one is to be sent."""
    assert exchange.notes is not None
    override: Override = exchange.notes[Override]
    settings = rotation.overridden(override)
    forwarding: Forwarding
    if override.special:
        forwarding = OverriddenForwarding(exchange, rotation, target, key, override)
    elif rotation.watched or settings.watches:
        forwarding = WatchedForwarding(exchange, rotation, target, key)
    else:
        forwarding = Forwarding(exchange, rotation, target)
    forwarding.override(settings)
    forwarding.go()
    return ANSWERING


def _watched_relay(
    rotation: Rotation, path_of: Callable[[Exchange], bytes], key_of: ExchangeKey, websocket: bool | None
) -> Step:
    def relay(exchange: Exchange) -> Answering | Reply:
        target, key = _target(exchange, path_of), key_of(exchange)
        if exchange.notes is not None and Override in exchange.notes and not exchange.head.upgrade:
            return _overridden(exchange, rotation, target, key)
        if exchange.head.upgrade and upgrading.asks(exchange, websocket):
            return upgrading.upgrade(exchange, lambda shake: WatchedUpgrading(exchange, rotation, target, key, shake))
        WatchedForwarding(exchange, rotation, target, key).go()
        return ANSWERING

    return relay


def _target(exchange: Exchange, path_of: Callable[[Exchange], bytes]) -> bytes:
    """The request target for the upstream."""
    if exchange.edited is not None:
        return _edited_target(exchange, exchange.edited, path_of)
    head, path = exchange.head, path_of(exchange)
    return path + b"?" + head.query if head.query or head.lone else path


def _edited_target(exchange: Exchange, edits: Edits, path_of: Callable[[Exchange], bytes]) -> bytes:
    """What a step rewrote obeys the rules of what a client sends (CASES P30)."""
    query = exchange.head.query
    if edits.path is None:
        path = path_of(exchange)
    else:
        path = edits.path
        targets_.check(path)
    if edits.query is not None:
        query = edits.query
        if _QUERY.fullmatch(query) is None:
            raise BadRequest("A step wrote a query that must be percent-encoded.")
    return path + b"?" + query if query or (exchange.head.lone and edits.query is None) else path


@lru_cache(maxsize=4096)
def compile_template(template: str | None, parameters: tuple[str, ...]) -> Callable[[Exchange], bytes]:
    """A function from an exchange to the path that its upstream gets. A path made of parts is checked as a received
    one is, as parts that are harmless alone may not be so together (CASES P30), unless all parts stay the whole
    segments that they were. ValueError for an unknown parameter."""
    if template is None:
        return lambda exchange: exchange.head.path
    if not template.startswith("/") or not _VISIBLE.fullmatch(template.encode()) or "?" in template:
        raise ValueError(f"the upstream path {template!r} must begin with / and hold no blank, query or fragment")
    named = [_index(match[1] or match[2], template, parameters) for match in _PART.finditer(template)]
    composed = _composed(template, named, len(parameters))
    return composed if _whole_segments(template) else lambda exchange: targets_.split(composed(exchange), b"")[0]


def _composed(template: str, named: Sequence[int], count: int) -> Callable[[Exchange], bytes]:
    """`named`: which of the route's `count` parameters stand in the template, one after the other."""
    form = _PART.sub("%b", template.replace("%", "%%")).encode()
    if tuple(named) == tuple(range(count)):
        return lambda exchange: form % exchange.params
    return lambda exchange: form % tuple([exchange.params[index] for index in named])


def _whole_segments(template: str) -> bool:
    """Every placeholder stands between slashes, and only the last one may match nothing."""
    plain = _WHOLE.sub("/x", template)
    with contextlib.suppress(BadRequest):
        targets_.check(plain.encode())
        return not any(character in plain for character in "{}*")
    return False


def _index(name: str, template: str, parameters: tuple[str, ...]) -> int:
    if name not in parameters:
        raise ValueError(f"the upstream path {template} names {name}, which the route does not have")
    return parameters.index(name)
