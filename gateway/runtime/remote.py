"""One runtime as a node sees it: a connection to each of its processes, kept as long as their addresses are known."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.core.runtimes import RuntimeTarget
from gateway.core.secrets import Secret
from gateway.relay.certificates import Tls, WrongTls, context
from gateway.relay.names import Addresses, Names
from gateway.runtime.remote_link import Link, NotGreeted, connect

log: Final = logging.getLogger("gateway.runtime")

FIRST: Final = 0.1  # seconds until it is tried again
LONGEST: Final = 1.0  # so that a call which waits for one that starts again finds it
UNNAMED: Final = 2.0  # seconds until a name without addresses is looked up again: its pods may come any moment


class Remote:
    """`changed` is called when what is connected, or why not, is another than before. `limit` bounds one output."""

    def __init__(
        self, target: RuntimeTarget, token: Secret | None, limit: int, names: Names | None, changed: Callable[[], None]
    ) -> None:
        self.target = target
        self.links: list[Link] = []
        self.trouble = "not connected yet"
        self._token = token
        self._limit = limit
        self._names = names
        self._changed = changed
        self._leaving: set[Link] = set()
        self._kept: dict[str, asyncio.Task[None]] = {}
        self._unwatch: Callable[[], None] | None = None

    def start(self) -> None:
        if self.target.unix is not None:
            self._follow((str(self.target.unix),))
            return
        host = self._host
        try:
            self._follow((str(ipaddress.ip_address(host)),))
        except ValueError:
            self.trouble = f"the name {host} has no address yet"
            assert self._names is not None
            self._unwatch = self._names.watch(host, self._follow, again=UNNAMED)

    @property
    def _host(self) -> str:
        assert self.target.address is not None
        return self.target.address.rpartition(":")[0].strip("[]")

    @property
    def open_links(self) -> Iterator[Link]:
        return (link for link in self.links if link.is_open)

    def _follow(self, addresses: Addresses) -> None:
        """Connects to what is new; what is gone is called no more."""
        for address in set(self._kept) - set(addresses):
            self._kept.pop(address).cancel()
        for address in addresses:
            if address not in self._kept:
                self._kept[address] = asyncio.get_running_loop().create_task(self._keep(address))

    async def _keep(self, address: str) -> None:
        """A connection to this address, again and again, until it is cancelled."""
        pause, told = FIRST, ""
        while True:
            try:
                link = await self._connect(address)
            except (OSError, NotGreeted, WrongTls) as error:
                trouble = f"{address}: {_words(error)}"
                if trouble != told:
                    log.warning("the runtime %s cannot be used at %s", self.target.name, trouble)
                told = self.trouble = trouble
                self._changed()
            else:
                pause, told = FIRST, ""
                log.info("the runtime %s is connected at %s (%s)", self.target.name, address, link.told["runtime"])
                await self._use(link, address)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST)

    async def _use(self, link: Link, address: str) -> None:
        """Until it is gone; when this is cancelled, until what is under way there is answered."""
        self.links.append(link)
        self._changed()
        try:
            await link.gone.wait()
            self.trouble = f"{address}: it closed the connection"
        except asyncio.CancelledError:
            link.leave()
            self._leaving = {link, *(each for each in self._leaving if not each.gone.is_set())}
            raise
        finally:
            self.links.remove(link)
            self._changed()

    async def _connect(self, address: str) -> Link:
        target = self.target
        if target.address is None:
            return await connect(self._link, address, None, None)
        port = int(target.address.rpartition(":")[2])
        tls = await asyncio.to_thread(self._tls) if target.tls is not None else None
        name = (target.tls and target.tls.server_name) or self._host
        return await connect(self._link, (address, port), tls, name)

    def _link(self) -> Link:
        return Link(self._token, self._limit, self._changed)

    def _tls(self) -> ssl.SSLContext:
        """Its files are read for each connection, so that those which were renewed count. WrongTls."""
        given = self.target.tls
        assert given is not None
        paths: dict[str, Any] = {
            name: None if path is None else str(path.absolute())
            for name, path in (("ca", given.ca), ("certificate", given.certificate), ("key", given.key))
        }
        return context(Tls(**paths))

    async def close(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
        tasks = list(self._kept.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for link in self._leaving:
            link.abort()


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no connection came about in time"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).rstrip(".")
    return str(error)
