"""Opens connections to one address of a target, or to any of a name's that has none yet."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable
from typing import Final

from gateway.core.locations import Location
from gateway.relay.connection import Connection
from gateway.relay.names import Addresses
from gateway.relay.network import Network
from gateway.relay.settings import Settings

log: Final = logging.getLogger("gateway.relay")

SILENT: Final = 4  # addresses of a name that may stay silent before a request gives up; they share connect_timeout


class EgressRefused(OSError):
    """The egress list forbids the address. The text is for the log alone."""


class Connector:
    """`timeout` in seconds is for `open` as a whole. Raises OSError, TimeoutError."""

    def __init__(
        self, target: Location, address: str | None, settings: Settings, network: Network, tls: ssl.SSLContext | None
    ) -> None:
        self._target = target
        self._address = address
        self._settings = settings
        self._network = network
        self._tls = tls
        self._name = (settings.server_name or target.host.removesuffix(".")) if tls is not None else None
        self.timeout = settings.connect_timeout

    def share(self, siblings: int) -> None:
        """The name has so many addresses: those that stay silent share the time."""
        self.timeout = self._settings.connect_timeout / min(siblings, SILENT)

    async def open(self, made: Callable[[], Connection]) -> Connection:
        if self._target.socket:
            return await self._open_socket(made, self._target.socket)
        if self._address is not None:
            return await self._open_address(made, self._address)
        return await self._open_any(made, await self._network.names.addresses(self._target.host))

    async def _open_any(self, made: Callable[[], Connection], addresses: Addresses) -> Connection:
        """One after the other, each with its share of the time."""
        share = self.timeout / min(len(addresses), SILENT)
        for address in addresses[:-1]:
            try:
                async with asyncio.timeout(share):
                    return await self._open_address(made, address)
            except (TimeoutError, OSError) as error:
                log.debug("%s at %s: %s", self._target, address, error)
        return await self._open_address(made, addresses[-1])

    async def _open_address(self, made: Callable[[], Connection], address: str) -> Connection:
        """An address, never a name: what the list was asked about is what is connected (CASES M73)."""
        target = self._target
        if reason := self._network.egress.refuses(target.host, ipaddress.ip_address(address)):
            raise EgressRefused(reason)
        _, connection = await asyncio.get_running_loop().create_connection(
            made, address, target.port, ssl=self._tls, server_hostname=self._name
        )
        return connection

    async def _open_socket(self, made: Callable[[], Connection], path: str) -> Connection:
        if reason := self._network.egress.refuses_socket(path):
            raise EgressRefused(reason)
        _, connection = await asyncio.get_running_loop().create_unix_connection(made, path)
        return connection
