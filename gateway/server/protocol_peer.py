"""Who the client is. Forwarded and X-Forwarded-* are believed only from configured proxies (CASES H35); the networks
are compiled once per process."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from gateway.core.exchange import Head, Peer

_forwarded_for: Final = re.compile(rb'(?:^|[;,])[ \t]*for=("[^"]*"|[^;, \t]*)', re.IGNORECASE).findall
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
        proxy has (RFC 7239 section 5.2; X-Forwarded-For where there is no Forwarded)."""
        client = peer.client
        for hop in reversed(_hops(head)):
            address = plain(hop)
            if address is None:
                break
            client = str(address)
            if client not in self:
                break
        scheme = (head.get(b"x-forwarded-proto") or b"").decode("latin-1").lower()
        return peer._replace(client=client, scheme=scheme if scheme in {"http", "https"} else peer.scheme)


def _hops(head: Head) -> list[str]:
    forwarded = head.get(b"forwarded")
    if forwarded is not None:
        return [_address(node.decode("latin-1")) for node in _forwarded_for(forwarded)][-_MAX_HOPS:]
    value = head.get(b"x-forwarded-for") or b""
    return [hop.strip() for hop in value.decode("latin-1").split(",") if hop.strip()][-_MAX_HOPS:]


def _address(node: str) -> str:
    """The address of `192.0.2.1`, `"192.0.2.1:80"` or `"[2001:db8::1]:80"` (RFC 7239 section 6)."""
    node = node.strip('"')
    return node[1:].partition("]")[0] if node.startswith("[") else node.partition(":")[0]
