"""Asks the gateway's own port whether it serves what it says it serves, before anybody is told so (DESIGN 8)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.core.errors import Unavailable
from gateway.core.listening import UNIX, Listener, split
from gateway.core.proxy_header import SIGNATURE
from gateway.server.protocol_peer import Trust
from gateway.snapshot.choice import naming
from gateway.snapshot.routes import ODATA_PATH, SOAP_PATH, roots
from gateway.snapshot.spec import VersionSpec

TIMEOUT: Final = 5.0
MARK: Final = "X-Penstock-Probe"  # with the node's run: such a request is never shed
_LOCAL: Final = SIGNATURE + b"\x20\x00\x00\x00"  # PROXY version 2: no client's connection
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens everywhere is asked here


class NotReachable(Unavailable):
    title, code = "The gateway does not serve what was published", "not_reachable"


@dataclass(frozen=True, slots=True)
class Door:
    """Where a node asks itself. `place` is an address or `unix:` and a path."""

    place: str
    tls: bool = False
    proxied: bool = False

    @property
    def name(self) -> str:
        return "localhost" if self.place.startswith(UNIX) else self.place

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """OSError."""
        if self.place.startswith(UNIX):
            reader, writer = await asyncio.open_unix_connection(self.place[len(UNIX) :])
        else:
            host, port = split(self.place)
            reader, writer = await asyncio.open_connection(local(host), port)
        if self.proxied:
            writer.write(_LOCAL)
        if self.tls:
            await writer.start_tls(_unverified())
        return reader, writer


def local(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    return _ANY.get(host, host)


def askable(listener: Listener, trusted: Sequence[str] = ()) -> bool:
    """Whether a node can ask itself there: no client certificate is required, and it may speak the PROXY protocol."""
    if listener.tls is not None and listener.tls.asks_clients == "required":
        return False
    proxies = listener.proxies(trusted)
    return proxies is None or local(listener.host) in Trust(proxies)


def door(listeners: Sequence[Listener], places: Sequence[str], trusted: Sequence[str], private: Path) -> Door:
    """The first listener where a node can ask itself; else the private socket that is opened then."""
    for listener, place in zip(listeners, places, strict=True):
        if askable(listener, trusted):
            return Door(place, listener.tls is not None, bool(listener.proxy_protocol))
    return Door(f"{UNIX}{private}")


def _unverified() -> ssl.SSLContext:
    """Whom it asks is known by the port; the certificate is for other names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def probe(versions: Sequence[VersionSpec], door: Door, run: str) -> None:
    """One OPTIONS per mount of each version: routing answers it, no policy and no backend sees it."""
    for version in (each for each in versions if not each.canary):  # no URL is a canary's own
        for path, header in _targets(version):
            status = await _options(door, path, header + f"{MARK}: {run}\r\n")
            if status not in {200, 204, 410}:
                raise NotReachable(f"{version.name} is not reachable: OPTIONS {path} answered {status}.")


def _targets(version: VersionSpec) -> Iterator[tuple[str, str]]:
    for root, selector in roots(version):
        query, header = ("", "") if selector == "path" else naming(version)
        if any(endpoint.document == "openapi" for endpoint in version.endpoints):
            yield f"{root}/openapi.json{query}", header
        if version.soap:
            yield root + SOAP_PATH + query, header
        if version.odata:
            yield f"{root}{ODATA_PATH}/$metadata{query}", header


async def _options(door: Door, path: str, header: str) -> int:
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await door.open()
            try:
                head = f"OPTIONS {path} HTTP/1.1\r\nHost: {door.name}\r\nConnection: close\r\n{header}\r\n"
                writer.write(head.encode())
                line = await reader.readline()
                await reader.read()
            finally:
                writer.close()
        return int(line.split()[1])
    except (OSError, TimeoutError, IndexError, ValueError) as error:
        why = str(error) or "no answer in time"
        raise NotReachable(f"The gateway's own port {door.place} does not answer: {why}.") from error
