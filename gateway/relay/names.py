"""Names of hosts, resolved off the request path: each name that an upstream uses is followed by one task of the
worker, by the TTL of its answers. A resolver that fails leaves the addresses that were known last.

aiodns tells the TTL; the loop's own getaddrinfo does not, and blocks a thread per look-up (decision 0013).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import aiodns
from aiodns.error import DNSError

log: Final = logging.getLogger("gateway.relay")

MIN_TTL: Final = 1.0
MAX_TTL: Final = 3600.0
AGAIN: Final = (1.0, 2.0, 5.0, 10.0, 30.0)  # seconds after failures in a row

Sleep = Callable[[float], Awaitable[None]]
Addresses = tuple[str, ...]


class Unresolved(OSError):
    """A name that has no address, or whose resolver did not answer."""


class Resolved(NamedTuple):
    """`ttl` in seconds; 0 where the source names none (the hosts file)."""

    addresses: Addresses
    ttl: float = 0.0


class Resolver(Protocol):
    """The seam of DNS."""

    async def resolve(self, host: str) -> Resolved:
        """All addresses, IPv4 and IPv6. Raises Unresolved."""
        ...

    async def close(self) -> None: ...


class AresResolver:
    """Asks as the machine is configured: hosts file, resolv.conf with its search list. `nameservers` and `port` are
    for tests."""

    def __init__(self, nameservers: list[str] | None = None, port: int = 53, timeout: float = 2.0) -> None:
        self._given = {"nameservers": nameservers, "udp_port": port, "tcp_port": port, "timeout": timeout, "tries": 2}
        self._resolver: aiodns.DNSResolver | None = None

    async def resolve(self, host: str) -> Resolved:
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver(**self._given)  # type: ignore[arg-type]
        try:
            result = await self._resolver.getaddrinfo(host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except DNSError as error:
            raise Unresolved(str(error.args[-1])) from None
        nodes = result.nodes or []
        addresses = {_text(node.addr[0]) for node in nodes}
        if not addresses:
            raise Unresolved("The name has no address.")
        return Resolved(tuple(sorted(addresses)), float(min(node.ttl for node in nodes)))

    async def close(self) -> None:
        if self._resolver is not None:
            resolver, self._resolver = self._resolver, None
            await resolver.close()


def _text(address: bytes | str) -> str:
    return str(ipaddress.ip_address(address.decode() if isinstance(address, bytes) else address))


class FixedResolver:
    """The in-memory twin. `answers` may be changed at any time; a name that is not there is unresolved."""

    def __init__(self, answers: Mapping[str, Resolved]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str) -> Resolved:
        self.asked.append(host)
        if host not in self.answers:
            raise Unresolved("The name is not known.")
        return self.answers[host]

    async def close(self) -> None:
        """Nothing is held."""


Told = Callable[[Addresses], None]


@dataclass(eq=False)
class _Name:
    host: str
    ttl: float  # where the answer names none
    told: list[Told]
    again: float = AGAIN[-1]  # the longest wait after a failure
    addresses: Addresses = ()
    failed: Unresolved | None = None
    answered: asyncio.Event | None = None
    task: asyncio.Task[None] | None = None


class Names:
    """The names of one worker. `sleep` is a seam for tests."""

    def __init__(self, resolver: Resolver, sleep: Sleep = asyncio.sleep) -> None:
        self._resolver = resolver
        self._sleep = sleep
        self._names: dict[str, _Name] = {}

    def watch(self, host: str, told: Told, ttl: float = 5.0, again: float = AGAIN[-1]) -> Callable[[], None]:
        """Calls `told` with the addresses, each time they change, beginning with those that are known. Returns what
        ends that. A name that cannot be resolved is asked for again after `again` seconds at the latest. Upstreams that
        share a name share its task; the shortest `ttl` and `again` count."""
        name = self._names.get(host)
        if name is None:
            name = self._names[host] = _Name(host, ttl, [], answered=asyncio.Event())
            name.task = asyncio.get_running_loop().create_task(self._follow(name))
        name.ttl, name.again = min(name.ttl, ttl), min(name.again, again)
        name.told.append(told)
        if name.addresses:
            told(name.addresses)
        return lambda: self._unwatch(name, told)

    def _unwatch(self, name: _Name, told: Told) -> None:
        with contextlib.suppress(ValueError):
            name.told.remove(told)
        if not name.told and name.task is not None:
            name.task.cancel()
            if self._names.get(name.host) is name:
                del self._names[name.host]

    async def addresses(self, host: str) -> Addresses:
        """Of a watched name: those known last, or the first ones. Raises Unresolved."""
        name = self._names.get(host)
        if name is None:
            raise Unresolved("Nobody follows the name any more.")
        if name.answered is not None and not name.addresses:
            await name.answered.wait()
        if not name.addresses:
            raise name.failed or Unresolved("The name has no address.")
        return name.addresses

    async def _follow(self, name: _Name) -> None:
        failures = 0
        while True:
            try:
                answer = await self._resolver.resolve(name.host)
            except Exception as error:  # whatever a resolver raises, the name must be asked for again
                if not failures:
                    log.warning("%s cannot be resolved (%s); its last addresses stay in use", name.host, error)
                wait = min(AGAIN[min(failures, len(AGAIN) - 1)], name.again)
                name.failed, failures = error if isinstance(error, Unresolved) else Unresolved(str(error)), failures + 1
            else:
                name.failed, failures = None, 0
                wait = min(max(answer.ttl or name.ttl, MIN_TTL), MAX_TTL)
                self._tell(name, answer.addresses)
            if name.answered is not None:
                name.answered.set()
            await self._sleep(wait)

    def _tell(self, name: _Name, addresses: Addresses) -> None:
        if addresses == name.addresses:
            return
        name.addresses = addresses
        for told in tuple(name.told):
            try:
                told(addresses)
            except Exception:
                log.exception("new addresses of %s could not be used", name.host)
