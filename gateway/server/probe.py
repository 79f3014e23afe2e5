"""Asks the gateway's own port whether it serves what it says it serves, before anybody is told so (DESIGN 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from gateway.core.errors import Unavailable
from gateway.snapshot.routes import ODATA_PATH, SOAP_PATH, roots
from gateway.snapshot.spec import VersionSpec

TIMEOUT = 5.0


class NotReachable(Unavailable):
    title, code = "The gateway does not serve what was published", "not_reachable"


async def probe(versions: Sequence[VersionSpec], host: str, port: int) -> None:
    """One OPTIONS per mount of each version: routing answers it, no policy and no backend sees it."""
    for version in versions:
        for path, header in _targets(version):
            status = await _options(host, port, path, header)
            if status not in {200, 204, 410}:
                raise NotReachable(f"{version.name} is not reachable: OPTIONS {path} answered {status}.")


def _targets(version: VersionSpec) -> Iterator[tuple[str, str]]:
    for root, selector in roots(version):
        header = f"{version.version_header}: {version.version}\r\n" if selector == "header" else ""
        if any(endpoint.document == "openapi" for endpoint in version.endpoints):
            yield f"{root}/openapi.json", header
        if version.soap:
            yield root + SOAP_PATH, header
        if version.odata:
            yield f"{root}{ODATA_PATH}/$metadata", header


async def _options(host: str, port: int, path: str, header: str) -> int:
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                head = f"OPTIONS {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n{header}\r\n"
                writer.write(head.encode())
                line = await reader.readline()
                await reader.read()
            finally:
                writer.close()
        return int(line.split()[1])
    except (OSError, TimeoutError, IndexError, ValueError) as error:
        raise NotReachable(f"The gateway's own port {port} does not answer: {error or 'no answer in time'}.") from error
