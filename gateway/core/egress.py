"""The egress list: where a node lets documents lead it. Asked at publish for literal addresses and names, and again
for the very address that is connected, after DNS (CASES M73). Pure.

An entry is a network (`10.0.0.0/8`, `192.0.2.7`), a host name (`api.example`, `*.example`: any below it) or a path of
unix sockets (`unix:/run/apps/*`); with `!` before it, it forbids. What an entry forbids is refused whatever else
allows it. Where an entry allows networks or names, everything that none allows is refused; the same for sockets.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from gateway.core.locations import UNIX, Address, Location

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NEVER: Final[tuple[tuple[str, str], ...]] = (
    ("0.0.0.0/8", "unspecified"),
    ("::/128", "unspecified"),
    ("169.254.0.0/16", "link-local"),
    ("fe80::/10", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("ff00::/8", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("fd00:ec2::254/128", "a metadata service"),
    ("100.100.100.200/32", "a metadata service"),
    ("192.0.0.192/32", "a metadata service"),
)
"""Refused unless an entry of the list allows a network that holds them."""

_NEVER: Final = tuple((ipaddress.ip_network(network), what) for network, what in NEVER)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_NAME: Final = re.compile(r"(\*\.)?[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
_PATH: Final = re.compile(r"/[!-~]+")


@dataclass(frozen=True, slots=True)
class _Rules:
    networks: tuple[Network, ...] = ()
    names: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()

    def hold(self, host: str, address: Address | None) -> bool:
        return self.name(host) or (address is not None and self.network(address))

    def network(self, address: Address) -> bool:
        return any(address in network for network in self.networks if network.version == address.version)

    def name(self, host: str) -> bool:
        host = host.lower().removesuffix(".")
        return any(host.endswith(name[1:]) if name.startswith("*") else host == name for name in self.names)

    def socket(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.sockets)


@dataclass(frozen=True, slots=True)
class Egress:
    """`own`: the node's data folder, whose sockets (its store, its control process) are no upstreams."""

    allowed: _Rules = field(default_factory=_Rules)
    forbidden: _Rules = field(default_factory=_Rules)
    own: Path | None = None

    @classmethod
    def parse(cls, entries: Iterable[str], own: Path | None = None) -> Egress:
        """ValueError names an entry that is none."""
        given = [entry.strip() for entry in entries]
        forbidden = _rules(entry[1:] for entry in given if entry.startswith("!"))
        allowed = _rules(entry for entry in given if not entry.startswith("!"))
        return cls(allowed, forbidden, None if own is None else own.resolve())

    def refuses(self, host: str, address: Address | None) -> str | None:
        """Why `host` must not be connected at this address; None: it may. At publish a name has no address yet."""
        for each in [None] if address is None else _meanings(address):
            if reason := self._refuses(host, each):
                return reason
        return None

    def _refuses(self, host: str, address: Address | None) -> str | None:
        if self.forbidden.hold(host, address):
            return f"the egress list forbids {address or host}"
        if address is not None and not self.allowed.network(address):
            for network, what in _NEVER:
                if address.version == network.version and address in network:
                    return f"{address} is {what}, and the egress list allows no network that holds it"
        listed = bool(self.allowed.networks or self.allowed.names)
        undecided = address is None and self.allowed.networks  # a network may allow what the name will lead to
        if listed and not undecided and not self.allowed.hold(host, address):
            return f"the egress list does not allow {address or host}"
        return None

    def refuses_socket(self, path: str) -> str | None:
        """The same for a unix socket; symbolic links are followed."""
        real = Path(path).resolve()
        for each in {path, str(real)}:
            if self.forbidden.socket(each):
                return f"the egress list forbids {UNIX}{path}"
        if self.allowed.sockets:
            return None if self.allowed.socket(str(real)) else f"the egress list does not allow {UNIX}{path}"
        if self.own is not None and real.is_relative_to(self.own):
            return f"{UNIX}{path} is one of the node's own sockets"
        return None

    def refuses_location(self, location: Location) -> str | None:
        """What can be said before DNS."""
        if location.socket:
            return self.refuses_socket(location.socket)
        return self.refuses(location.host, location.address)


def _meanings(address: Address) -> Iterator[Address]:
    """The address, and the IPv4 one that it carries: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056)."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
            return
        if address.sixtofour is not None:
            yield address.sixtofour
        if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    yield address


def _rules(entries: Iterable[str]) -> _Rules:
    networks: list[Network] = []
    names: list[str] = []
    sockets: list[str] = []
    for entry in entries:
        if entry.startswith(UNIX):
            sockets.append(_socket(entry))
        elif (network := _network(entry)) is not None:
            networks.append(network)
        elif _NAME.fullmatch(entry) and not entry.rpartition(".")[2].isdigit():
            names.append(entry.lower())
        else:
            hint = "Write a network (10.0.0.0/8), a host name (api.example, *.example) or unix:/path/*; ! forbids."
            raise ValueError(f"{entry!r} is no entry of an egress list. {hint}")
    return _Rules(tuple(networks), tuple(names), tuple(sockets))


def _socket(entry: str) -> str:
    path = entry.removeprefix(UNIX)
    if _PATH.fullmatch(path) is None:
        raise ValueError(f"{entry!r} is no entry of an egress list. Write the path of a socket, such as unix:/run/*.")
    return path


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f"{entry!r} is no network: {error}. Write its first address.") from None
        return None
