"""The PROXY protocol, versions 1 and 2 (HAProxy's specification, `proxy-protocol.txt`, 2020/03/05): a header in front
of a connection's bytes, by which a proxy tells whose connection it passes on. Strict and bounded; pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
TEXT: Final = b"PROXY "
TEXT_LIMIT: Final = 107  # bytes of a version 1 header with its CRLF (section 2.1)
BINARY_LIMIT: Final = 2048  # bytes behind the fixed 16 of a version 2 header: addresses, and room for TLVs
_FIXED: Final = 16
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESSES: Final = {_UNSPEC: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
_SSL: Final = 0x20  # PP2_TYPE_SSL
_CLIENT_SSL: Final = 0x01  # PP2_CLIENT_SSL


class Malformed(ValueError):
    """What arrives is no PROXY header; the text says why."""


class Origin(NamedTuple):
    """Whose connection it is. An empty address: the proxy's own (LOCAL, UNKNOWN, a unix socket)."""

    address: str = ""
    port: int = 0
    tls: bool = False  # the client spoke TLS to the proxy


def consume(seen: bytes, have: int) -> int:
    """How many of the bytes seen so far belong to the header, of which `have` are taken already; none beyond its end.
    Malformed as soon as they cannot become one."""
    if seen[: len(SIGNATURE)] == SIGNATURE[: len(seen)]:
        return min(_binary_length(seen), len(seen)) if len(seen) >= _FIXED else len(seen)
    if seen[: len(TEXT)] != TEXT[: len(seen)]:
        raise Malformed("it does not begin with a PROXY header")
    end = seen.find(b"\r\n", max(have - 1, 0), TEXT_LIMIT)
    if end < 0 and len(seen) >= TEXT_LIMIT:
        raise Malformed("a version 1 header does not end within 107 bytes")
    return end + 2 if end >= 0 else len(seen)


def complete(header: bytes) -> bool:
    """Whether these bytes, taken by `consume`, are the whole header."""
    if header.startswith(TEXT):
        return header.endswith(b"\r\n")
    return len(header) >= _FIXED and len(header) == _binary_length(header)


def parse(header: bytes) -> Origin:
    """Malformed when it is not exactly one header."""
    if header.startswith(TEXT):
        return _text(header)
    if not header.startswith(SIGNATURE) or len(header) < _FIXED or len(header) != _binary_length(header):
        raise Malformed("it is not one whole PROXY header")
    return _binary(header)


# version 1


def _text(header: bytes) -> Origin:
    if not header.endswith(b"\r\n") or len(header) > TEXT_LIMIT or not header.isascii():
        raise Malformed("a version 1 header is one ASCII line of at most 107 bytes")
    words = header[:-2].decode().split(" ")
    if words[1] == "UNKNOWN":
        return Origin()  # whatever follows is ignored (section 2.1)
    if len(words) != 6 or words[1] not in {"TCP4", "TCP6"}:
        raise Malformed("a version 1 header is PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT, or PROXY UNKNOWN")
    _address(words[1], words[3])
    _port(words[5])
    return Origin(_address(words[1], words[2]), _port(words[4]))


def _address(family: str, text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise Malformed("an address cannot be read") from None
    if (family == "TCP4") != isinstance(address, IPv4Address) or "%" in text:
        raise Malformed("an address is not of the family that the header names")
    return _plain(address)


def _port(text: str) -> int:
    if not text.isdigit() or len(text) > 5 or int(text) > 65535 or (len(text) > 1 and text[0] == "0"):
        raise Malformed("a port cannot be read")
    return int(text)


def _plain(address: IPv4Address | IPv6Address) -> str:
    """An IPv4-mapped IPv6 address is its IPv4 address (CASES H35)."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


# version 2


def _binary_length(seen: bytes) -> int:
    """Of the whole header, by its fixed part."""
    command, family, length = struct.unpack_from("!BBH", seen, 12)
    if command not in {_LOCAL, _PROXY}:
        raise Malformed("its version or command is unknown")
    if length > BINARY_LIMIT:
        raise Malformed(f"it is longer than {BINARY_LIMIT} bytes")
    if command == _PROXY and length < _ADDRESSES.get(family, length + 1):
        raise Malformed("its family is not one of TCP and unix streams, or its addresses are cut short")
    return _FIXED + int(length)


def _binary(header: bytes) -> Origin:
    command, family = header[12], header[13]
    if command == _LOCAL:
        return Origin()  # the proxy's own connection: a health check; the rest is ignored (section 2.2)
    start = _FIXED + _ADDRESSES[family]
    tls = _client_spoke_tls(header[start:])
    if family == _TCP4:
        source, port = struct.unpack_from("!4s4xH", header, _FIXED)
        return Origin(str(IPv4Address(source)), port, tls)
    if family == _TCP6:
        source, port = struct.unpack_from("!16s16xH", header, _FIXED)
        return Origin(_plain(IPv6Address(source)), port, tls)
    return Origin(tls=tls)


def _client_spoke_tls(rest: bytes) -> bool:
    """From the TLVs (section 2.2.7); those of other types are skipped, cut ones refused."""
    tls, at = False, 0
    while at < len(rest):
        if len(rest) - at < 3:
            raise Malformed("a TLV is cut short")
        kind, length = struct.unpack_from("!BH", rest, at)
        at += 3 + length
        if at > len(rest):
            raise Malformed("a TLV is cut short")
        if kind == _SSL:
            if length < 5:
                raise Malformed("the TLV about TLS is cut short")
            tls = bool(rest[at - length] & _CLIENT_SSL)
    return tls
