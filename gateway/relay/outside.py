"""Requests that policies make of their own: to identity providers, decision services, call-outs. One per worker.

Over the connections of the relay, pooled by origin and TLS, under the node's egress list at connect (CASES M73). No
redirect is followed; the whole of a request has one time, and its answer one size. Whatever goes wrong is 503: what
cannot be decided is refused (CASES C49).
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TypeVar

from gateway.core.clock import Clock
from gateway.core.errors import Problem, Unavailable
from gateway.core.framing_reply import ReplyHead
from gateway.core.locations import UNIX, Location
from gateway.relay.certificates import Tls, context, system, with_text
from gateway.relay.dependencies import Dependencies, Dependency
from gateway.relay.fetch import Fetching
from gateway.relay.network import Network
from gateway.relay.rotation import Rotation
from gateway.relay.settings import Settings
from gateway.relay.upstream import Fetched

log: Final = logging.getLogger("gateway.outside")

UNTOLD: Final = "What the gateway has to ask for this request could not be told."
KEPT: Final = 256  # origins with open connections or a followed name
QUIET: Final = 10.0  # seconds between two lines of the log about one origin
SETTINGS: Final = Settings(timeout=600.0, idle_timeout=600.0, max_connections=64, queue=4096, queue_timeout=600.0)

_URL: Final = re.compile(r"[!-~]{1,8192}")
_METHOD: Final = re.compile(r"[A-Z]{1,20}")

Fields = Sequence[tuple[bytes, bytes]]


class Shared(Protocol):
    def close(self) -> None: ...


S = TypeVar("S", bound=Shared)


class DependencyFailed(Unavailable):
    """A service that a policy asks gave no answer that it could use."""

    title, code = "A service that the gateway asks did not answer", "dependency_failed"


@dataclass(frozen=True, slots=True)
class Address:
    """A URL in two: the origin to connect, and the request's target there."""

    origin: Location
    target: bytes


@lru_cache(maxsize=4096)
def parse(url: str) -> Address:
    """`http://`, `https://` with path and query, or `unix:/socket:/path`. ValueError says what is wrong."""
    if _URL.fullmatch(url) is None:
        raise ValueError("a URL has visible ASCII characters only, and at most 8,192 of them")
    if url.startswith(UNIX):
        location = Location.parse(url)
        return Address(Location("", 0, False, b"localhost", socket=location.socket), location.prefix or b"/")
    if "#" in url:
        raise ValueError("a URL that is requested has no fragment")
    scheme, found, rest = url.partition("://")
    if not found:
        raise ValueError(f"{url!r} is not a URL; write https://host/path")
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    target = rest[end:] or "/"
    return Address(
        Location.parse(f"{scheme}://{rest[:end]}"), (target if target.startswith("/") else "/" + target).encode()
    )


def _verb(method: str) -> bytes:
    if _METHOD.fullmatch(method) is None:
        raise ValueError(f"{method!r} is no method")
    return method.encode()


class _Request(Fetching):
    """One that may be repeated when nothing of an answer came, where its sender says so: a question asked by POST."""

    __slots__ = ("_repeatable",)

    def __init__(
        self,
        rotation: Rotation,
        method: bytes,
        target: bytes,
        fields: Fields,
        body: bytes,
        limit: int,
        repeatable: bool,
    ) -> None:
        super().__init__(rotation, method, target, fields, body, limit)
        self._repeatable = repeatable

    @property
    def answered(self) -> bool:
        """The head of an answer came."""
        return self._head is not None

    def idempotent(self) -> bool:
        return self._repeatable or super().idempotent()


class _Discarding(_Request):
    """The answer's body is thrown away as it comes; `at`: when its head came, in seconds of the network's clock."""

    __slots__ = ("at",)

    def whole(self, head: ReplyHead, body: bytes) -> None:
        self.at = self._pool.clock.monotonic()
        super().whole(head, b"")

    def replied(self, head: ReplyHead, has_body: bool) -> None:
        self.at = self._pool.clock.monotonic()
        super().replied(head, has_body)

    def data(self, data: bytes) -> None:
        """Nobody reads it."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """An answer whose body nobody wanted. `at`: when its head came, in seconds of the clock."""

    status: int
    at: float


class Outside:
    """`fetch` is all that policies need; `check` is for `build`. Close it before its network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._rotations: OrderedDict[tuple[Location, ssl.SSLContext | None], Rotation] = OrderedDict()
        self._warned: dict[str, float] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.dependencies = Dependencies(network.clock)
        self._shared: dict[object, Shared] = {}

    @property
    def clock(self) -> Clock:
        return self._network.clock

    def shared(self, make: Callable[[Outside], S]) -> S:
        """What steps of one worker share of the outside, such as keys of issuers: made when it is first asked for."""
        found = self._shared.get(make)
        if found is None:
            found = self._shared[make] = make(self)
        return found  # type: ignore[return-value]  # made by the same function

    def check(self, url: str) -> None:
        """ValueError when the URL is none, or the egress list forbids it; asked when a step is built."""
        origin = parse(url).origin
        if reason := self._network.egress.refuses_location(origin):
            raise ValueError(f"{origin} may not be called: {reason}.")

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        fields: Fields = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - of the whole, which the caller configures
        limit: int,
        tls: ssl.SSLContext | None = None,
        repeatable: bool = False,
    ) -> Fetched:
        """The answer, whatever its status; a redirect is one. A service that gave none several times in a row is not
        asked for a while (`relay.dependencies`). `timeout` in seconds is for all of it: name, connection, answer;
        `limit` in bytes for its body. `tls`: see `trusting`; None: whom the machine trusts. `repeatable`: to ask twice
        does no harm, whatever the method. Raises DependencyFailed, which tells a client no address."""
        try:
            self.check(url)
            address, verb = parse(url), _verb(method)
            one = self.dependencies.find(address.origin, timeout)
            if not self.dependencies.admits(one):
                raise self._paused(one)
            request = self._request(address, verb, fields, body, limit, tls, repeatable)
            return await self._watched(one, request, timeout)
        except DependencyFailed:
            raise
        except TimeoutError as error:
            raise self._failed(url, f"no answer within {timeout:g} s") from error
        except Problem as problem:
            raise self._failed(url, problem.detail) from problem
        except (ValueError, OSError) as error:
            raise self._failed(url, str(error)) from error

    async def discard(
        self,
        method: str,
        url: str,
        *,
        fields: Fields = (),
        body: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - of the whole, which the caller configures
    ) -> Discarded:
        """The same as `fetch` for an answer whose body is thrown away, however large it is."""
        try:
            self.check(url)
            address, verb = parse(url), _verb(method)
            request = _Discarding(self._rotation(address.origin, None), verb, address.target, fields, body, 0, False)
            async with asyncio.timeout(timeout):
                return Discarded((await _answer(request)).status, request.at)
        except TimeoutError as error:
            raise self._failed(url, f"no answer within {timeout:g} s") from error
        except Problem as problem:
            raise self._failed(url, problem.detail) from problem
        except (ValueError, OSError) as error:
            raise self._failed(url, str(error)) from error

    async def _watched(self, one: Dependency, request: _Request, seconds: float) -> Fetched:
        """The answer; the service's circuit hears what became of the question."""
        token, failed = one.circuit.enter(), None
        try:
            async with asyncio.timeout(seconds):
                found = await _answer(request)
            failed = False
        except TimeoutError:
            failed = True
            raise
        except Problem as problem:
            if not isinstance(problem, Unavailable):  # then nobody asked it: too many wait for a connection
                failed = not request.answered
            raise
        finally:
            self.dependencies.ended(one, token, failed)
        return found

    def _paused(self, one: Dependency) -> DependencyFailed:
        after = str(self.dependencies.retry_after(one)).encode()
        return DependencyFailed(UNTOLD, headers=[(b"Retry-After", after)])

    def _request(
        self,
        address: Address,
        method: bytes,
        fields: Fields,
        body: bytes,
        limit: int,
        tls: ssl.SSLContext | None,
        repeatable: bool,
    ) -> _Request:
        rotation = self._rotation(address.origin, tls)
        named = fields if any(name.lower() == b"user-agent" for name, _ in fields) else [*fields, _AGENT]
        return _Request(rotation, method, address.target, named, body, limit, repeatable)

    def _rotation(self, origin: Location, tls: ssl.SSLContext | None) -> Rotation:
        if origin.tls and tls is None:
            tls = system()
        key = origin, tls if origin.tls else None
        found = self._rotations.get(key)
        if found is None:
            self._make_room()
            found = self._rotations[key] = Rotation([(origin, 1)], SETTINGS, self._network, tls=key[1])
        self._rotations.move_to_end(key)
        return found

    def _make_room(self) -> None:
        """The origin that was asked longest ago goes; what is under way there ends by itself."""
        while len(self._rotations) >= KEPT:
            _, old = self._rotations.popitem(last=False)
            task = asyncio.get_running_loop().create_task(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _failed(self, url: str, reason: str) -> DependencyFailed:
        """The address is for the log alone, without its query."""
        origin = url.split("?", maxsplit=1)[0]
        now = self._network.clock.monotonic()
        if now - self._warned.get(origin, -QUIET) >= QUIET:
            if len(self._warned) >= KEPT:
                self._warned.clear()
            self._warned[origin] = now
            log.warning("%s could not be asked: %s", origin, reason)
        return DependencyFailed(UNTOLD, headers=[_LATER])

    async def close(self) -> None:
        for shared in self._shared.values():
            shared.close()
        rotations, self._rotations = self._rotations, OrderedDict()
        for rotation in rotations.values():
            await rotation.close()
        await asyncio.gather(*self._closing, return_exceptions=True)


async def _answer(request: _Request) -> Fetched:
    request.go()
    try:
        return await request.future
    finally:
        if not request.future.done() or request.future.cancelled():
            request.withdraw()


_AGENT: Final = (b"User-Agent", b"penstock")
_LATER: Final = (b"Retry-After", b"1")


def trusting(tls: Tls) -> ssl.SSLContext:
    """The TLS of a configuration, the same object for the same content, as connections are pooled by it. Files are read
    now. Raises WrongTls."""
    return _context(with_text(tls))


@lru_cache(maxsize=64)
def _context(tls: Tls) -> ssl.SSLContext:
    return context(tls)
