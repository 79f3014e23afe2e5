"""Where an upstream is, as documents write it: `http://host:port`, `https://host:port` or `unix:/run/app.sock`.

A host is a name, a dotted IPv4 address or a bracketed IPv6 one. The other forms that resolvers take for an IPv4
address (`2130706433`, `0x7f.1`, `017700000001`, `127.1`) are refused: what was checked must be what is connected
(CASES M73).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

UNIX: Final = "unix:"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_SOCKET: Final = re.compile(r"unix:(/[!-9;-~]+)(?::(/[!-\"$-~]*))?")
_SOCKET_LENGTH: Final = 107  # bytes: sockaddr_un, unix(7)


@dataclass(frozen=True, slots=True)
class Location:
    """`authority` is the Host that the upstream gets; `prefix` stands before every path; `socket` is the path of a
    unix socket, or empty; `address` is there when the host is a literal address."""

    host: str
    port: int
    tls: bool
    authority: bytes
    prefix: bytes = b""
    socket: str = ""
    address: Address | None = None

    @classmethod
    def parse(cls, url: str) -> Location:
        """ValueError says what is wrong and how to write it."""
        if url.startswith(UNIX):
            return _unix(url)
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii():
            raise ValueError(f"{url!r} is not a target; write http://host:port, https://host:port or unix:/path.")
        if "@" in parts.netloc or parts.query or parts.fragment or "?" in url or "#" in url:
            raise ValueError(f"the target {parts.hostname} must be a URL without user, query and fragment.")
        if parts.port == 0:
            raise ValueError(f"the target {parts.hostname} has port 0, which cannot be connected to.")
        tls = parts.scheme == "https"
        address = _address(parts.hostname, "[" in parts.netloc)
        port = parts.port or (443 if tls else 80)
        prefix = parts.path.rstrip("/").encode()
        return cls(parts.hostname, port, tls, parts.netloc.encode(), prefix, address=address)

    def __str__(self) -> str:
        """As metrics and logs name it: without what stands before every path."""
        return UNIX + self.socket if self.socket else self.authority.decode()


def _unix(url: str) -> Location:
    match = _SOCKET.fullmatch(url)
    if match is None:
        raise ValueError(f"{url!r} is not a target; write unix:/run/app.sock, or unix:/run/app.sock:/prefix.")
    socket, prefix = match[1], match[2] or ""
    if len(socket) > _SOCKET_LENGTH:
        raise ValueError(f"the path of the socket {socket} is longer than {_SOCKET_LENGTH} bytes.")
    if "/../" in socket + "/":
        raise ValueError(f"the path of the socket {socket} must not hold a part that is '..'.")
    return Location("", 0, False, b"localhost", prefix.rstrip("/").encode(), socket)


def _address(host: str, bracketed: bool) -> Address | None:
    """The literal address that a host is, if it is one."""
    if bracketed:
        if "%" in host:
            raise ValueError(f"the target [{host}] has a zone; write the address without it.")
        return ipaddress.IPv6Address(host)
    if _NAME.fullmatch(host) is None or len(host) > 253:
        raise ValueError(f"{host!r} is not a host; write a name, or an address such as 192.0.2.7 or [2001:db8::7].")
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]) is None:  # the rule of the URL standard: such a host is an IPv4 address, or wrong
        return None
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"{host!r} is read as an address by some; write four numbers, such as 127.0.0.1.") from None
