"""An HTTP upstream: its targets in rotation, each with its pool of connections."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from gateway.core import target as targets_
from gateway.core.clock import Clock, SystemClock
from gateway.core.deadlines import Deadlines
from gateway.core.errors import BadRequest
from gateway.core.exchange import ANSWERING, Answering, Edits, Exchange, Step
from gateway.relay.fetch import Fetching
from gateway.relay.forward import Forwarding
from gateway.relay.sending import Rotation
from gateway.relay.target import Pool, Settings, Target
from gateway.relay.upstream import Fetched, Upstream

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE: Final = re.compile(rb"/[!-\"$-~]*")
_QUERY: Final = re.compile(rb"[!-\"$-~]*")
_PART: Final = re.compile(r"\{([^{}]+)\}|(\*\*)")
_WHOLE: Final = re.compile(r"/(?:\{[^{}]+\}(?=/|\Z)|\*\*\Z)")


def open_upstream(
    targets: Sequence[str],
    *,
    timeout: float = 30.0,
    connect_timeout: float = 5.0,
    idle_timeout: float = 30.0,
    retries: int = 1,
    max_connections: int = 256,
    queue: int = 256,
    keep: float = 30.0,
    tls: ssl.SSLContext | None = None,
    clock: Clock | None = None,
) -> Upstream:
    """An upstream of these URLs (`http://host:port/prefix`), taken in turn; `prefix` stands before every path.
    Nothing is connected yet. Times in seconds; `max_connections` and `queue` count per target; `tls` for https
    targets (default: the system's certificates). ValueError names a target that is none."""
    if not targets:
        raise ValueError("an upstream needs at least one target")
    parsed = [Target.parse(target) for target in targets]
    if tls is None and any(target.tls for target in parsed):
        tls = ssl.create_default_context()
    settings = Settings(timeout, connect_timeout, idle_timeout, keep, retries, max_connections, queue)
    deadlines = Deadlines(clock or SystemClock())
    return HttpUpstream(Rotation(tuple(Pool(target, settings, deadlines, tls) for target in parsed)))


class HttpUpstream:
    """Implements `relay.upstream.Upstream`."""

    def __init__(self, rotation: Rotation) -> None:
        self._rotation = rotation

    def relay(self, template: str | None, parameters: tuple[str, ...]) -> Step:
        path_of = compile_template(template, parameters)
        rotation = self._rotation

        def relay(exchange: Exchange) -> Answering:
            Forwarding(exchange, rotation, _target(exchange, path_of)).go()
            return ANSWERING

        return relay

    async def fetch(
        self,
        method: bytes,
        target: bytes,
        fields: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        limit: int = 8 * 1024 * 1024,
    ) -> Fetched:
        if _TOKEN.fullmatch(method.decode("latin-1")) is None or _VISIBLE.fullmatch(target) is None:
            raise ValueError(f"not a request: {method!r} {target!r}")
        fetching = Fetching(self._rotation, method, target, fields, body, limit)
        fetching.go()
        try:
            return await fetching.future
        finally:
            if fetching.future.cancelled():
                fetching.withdraw()

    async def close(self) -> None:
        for pool in self._rotation.pools:
            await pool.close()


def _target(exchange: Exchange, path_of: Callable[[Exchange], bytes]) -> bytes:
    """The request target for the upstream."""
    if exchange.edited is not None:
        return _edited_target(exchange, exchange.edited, path_of)
    path, query = path_of(exchange), exchange.head.query
    return path + b"?" + query if query else path


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
    return path + b"?" + query if query else path


def compile_template(template: str | None, parameters: tuple[str, ...]) -> Callable[[Exchange], bytes]:
    """A function from an exchange to the path that its upstream gets. A path made of parts is checked as a received
    one is, as parts that are harmless alone may not be so together (CASES P30), unless all parts stay the whole
    segments that they were. ValueError for an unknown parameter."""
    if template is None:
        return lambda exchange: exchange.head.path
    if not template.startswith("/") or not _VISIBLE.fullmatch(template.encode()) or "?" in template:
        raise ValueError(f"the upstream path {template!r} must begin with / and hold no blank, query or fragment")
    parts: list[bytes | int] = []
    end = 0
    for match in _PART.finditer(template):
        parts += [template[end : match.start()].encode(), _index(match[1] or match[2], template, parameters)]
        end = match.end()
    parts.append(template[end:].encode())

    def composed(exchange: Exchange) -> bytes:
        params = exchange.params
        return b"".join([part if isinstance(part, bytes) else params[part] for part in parts])

    return composed if _whole_segments(template) else lambda exchange: targets_.split(composed(exchange), b"")[0]


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
