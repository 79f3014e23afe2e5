"""Who the client is. Forwarded and X-Forwarded-* are believed only from configured proxies (CASES H35); the networks
are compiled once per process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from gateway.core.certificate import client_certificate
from gateway.core.errors import BadRequest
from gateway.core.exchange import Head, Peer
from gateway.core.proxy_header import Origin

_pair: Final = re.compile(
    r'[ \t]*(?:([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*+"|[^";, \t]*+)[ \t]*)?(;|,|\Z)'
).match
_MAX_HOPS: Final = 32


def plain(text: str) -> IPv4Address | IPv6Address | None:
    """An address; an IPv4-mapped IPv6 address is its IPv4 address. None for what is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


class Trust:
    """The proxies whose word about the client is taken. ValueError for what is not a network."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in networks)

    def __contains__(self, address: str) -> bool:
        parsed = plain(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def believe(self, peer: Peer, head: Head) -> Peer:
        """The peer with the client that the trusted proxy names: from the right, the first address that no trusted
        proxy has (RFC 7239 section 5.2, X-Forwarded-For). BadRequest when Forwarded and X-Forwarded-For name two: most
        proxies write one of them and pass the other on as it came, so that a client could write it."""
        forwarded, listed = head.get(b"forwarded"), head.get(b"x-forwarded-for")
        hops = _hops(forwarded, listed)
        client, scheme = self._first(hops, peer)
        if forwarded is not None and listed is not None and self._first(_listed(listed), peer)[0] != client:
            raise BadRequest(
                "Forwarded and X-Forwarded-For name two clients; the proxy in front must drop one of them."
            )
        if forwarded is None:
            scheme = (head.get(b"x-forwarded-proto") or b"").decode("latin-1").lower()
        return peer._replace(client=client, scheme=scheme if scheme in {"http", "https"} else peer.scheme)

    def _first(self, hops: list[Hop], peer: Peer) -> tuple[str, str]:
        """Address and scheme of the hop that is believed; a hop without an address ends the search."""
        client, scheme = peer.client, ""
        for node, proto in reversed(hops):
            address = plain(_address(node))
            if address is None:
                break
            client, scheme = str(address), proto
            if client not in self:
                break
        return client, scheme


Hop = tuple[str, str]  # node as it is written, scheme


def _hops(forwarded: bytes | None, listed: bytes | None) -> list[Hop]:
    return _elements(forwarded.decode("latin-1")) if forwarded is not None else _listed(listed or b"")


def _listed(value: bytes) -> list[Hop]:
    """Of X-Forwarded-For."""
    return [(hop.strip(), "") for hop in value.decode("latin-1").split(",") if hop.strip()][-_MAX_HOPS:]


def _elements(value: str) -> list[Hop]:
    """Of Forwarded (RFC 7239 section 4); none of a malformed field is believed."""
    hops: list[Hop] = []
    element: dict[str, str] = {}
    at = 0
    while (match := _pair(value, at)) is not None:
        name, text, end = match.groups()
        if name is not None:
            element[name.lower()] = text
        if end != ";":
            if element:
                hops.append((element.get("for", ""), element.get("proto", "").strip('"').lower()))
            element = {}
        at = match.end()
        if not end:
            return hops[-_MAX_HOPS:]
    return []


def _address(node: str) -> str:
    """The address of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `"[2001:db8::1]:80"` (RFC 7239 section 6)."""
    node = node.strip('"')
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def peer_of(transport: asyncio.Transport, origin: Origin | None = None) -> Peer:
    """The other end, once per connection. Where a proxy told whose connection it is, that is the other end; the proxy's
    own connections are its own."""
    name = transport.get_extra_info("peername")
    address, port = (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else ("", 0)
    tls = transport.get_extra_info("ssl_object")
    secure = tls is not None
    if origin is not None and origin.address:
        address, port = origin.address, origin.port
        secure = secure or origin.tls
    elif address.lower().startswith("::ffff:"):
        address = address[7:]
    decoded = tls.getpeercert() if tls is not None else None
    certificate = client_certificate(decoded, tls.getpeercert(binary_form=True)) if decoded else None
    return Peer(address, port, "https" if secure else "http", address, certificate)
