"""Whose requests a limit counts: the application's, the key's, the address's, or whose a claim or a header says."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from operator import attrgetter
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from gateway.core.exchange import Exchange
from gateway.core.headers import finder, line
from gateway.core.kinds import Site

Subject = Callable[[Exchange], str]


class ByClaim(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    claim: str


class ByHeader(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    header: str

    @field_validator("header")
    @classmethod
    def _name(cls, name: str) -> str:
        line(name.encode("ascii", "replace"), b"")
        return name


By = Literal["application", "key", "ip", "endpoint"] | ByClaim | ByHeader
WHOSE = "whose requests are counted; without an identity: the client's address"


def subject_of(by: By, site: Site) -> Subject:
    """A string that is the same for all requests that are counted together, whichever limit counts."""
    if isinstance(by, ByClaim):
        return _by_claim(by.claim)
    if isinstance(by, ByHeader):
        return _by_header(by.header)
    if by == "ip":
        return _client
    if by == "endpoint":
        endpoint = f"endpoint:{site.component}@{site.version} {site.endpoint}"  # a gateway's limit sees them all
        return lambda _exchange: endpoint
    return _by_identity("application" if by == "application" else "credential")


def _client(exchange: Exchange) -> str:
    return f"ip:{network(exchange.head.peer.client)}"


@lru_cache(maxsize=65_536)
def network(client: str) -> str:
    """The address that is counted: IPv4 as it is, also when mapped into IPv6; of IPv6 the /64 that one site holds."""
    if ":" not in client:
        return client
    try:
        address = IPv6Address(client.partition("%")[0])
    except ValueError:
        return client
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else str(ip_network((int(address), 64), strict=False))


def _by_identity(field: str) -> Subject:
    read = attrgetter(field)

    def subject(exchange: Exchange) -> str:
        identity = exchange.identity
        value = read(identity) if identity is not None else None
        return f"{field}:{value}" if value is not None else _client(exchange)

    return subject


def _by_claim(name: str) -> Subject:
    def subject(exchange: Exchange) -> str:
        value = exchange.identity.claims.get(name) if exchange.identity is not None else None
        return f"claim:{value}" if value is not None else _client(exchange)

    return subject


def _by_header(name: str) -> Subject:
    find = finder(name.lower().encode())

    def subject(exchange: Exchange) -> str:
        values = find(exchange.head.block)
        return f"header:{values[0][:200].decode('latin-1')}" if values else _client(exchange)

    return subject
