"""The PROXY protocol's header: strict, bounded, and never a byte beyond its end (CASES H35)."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.proxy_header import SIGNATURE, Malformed, Origin, complete, consume, parse

ports = st.integers(0, 65535)
four, six = st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None)


def binary(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, Origin]:
    """A header that holds, and what it tells."""
    four_, six_ = (draw(four), draw(four)), (draw(six), draw(six))
    source, target = draw(st.sampled_from([four_, six_]))
    port, other = draw(ports), draw(ports)
    if draw(st.booleans()):
        return f"PROXY TCP{source.version} {source} {target} {port} {other}\r\n".encode(), Origin(str(source), port)
    kinds = st.integers(0, 255).filter(lambda kind: kind != 0x20)
    tlvs = b"".join(tlv(kind, value) for kind, value in draw(st.lists(st.tuples(kinds, st.binary(max_size=40)))))
    tls = draw(st.booleans())
    tlvs += tlv(0x20, b"\x01\0\0\0\0") if tls else b""
    addresses = source.packed + target.packed + struct.pack("!HH", port, other)
    return binary(0x21, 0x11 if source.version == 4 else 0x21, addresses + tlvs), Origin(str(source), port, tls)


def taken(data: bytes, sizes: list[int]) -> bytes:
    """What is taken of data that arrives in pieces of these sizes, as `origin.read_origin` takes it."""
    header, arrived = b"", 0
    for size in [*sizes, len(data)]:
        arrived = min(len(data), arrived + size)
        while not complete(header) and arrived > len(header):
            header = data[: consume(data[:arrived], len(header))]
    return header


@given(headers(), st.binary(max_size=50), st.lists(st.integers(1, 30), max_size=10))
def test_a_header_is_read_to_its_end_and_no_further_however_it_arrives(
    header: tuple[bytes, Origin], rest: bytes, sizes: list[int]
) -> None:
    data, told = header
    assert taken(data + rest, sizes) == data
    assert parse(data) == told


@given(st.binary(max_size=300), st.lists(st.integers(1, 30), max_size=5))
def test_other_bytes_are_refused_or_wait_for_more_within_the_bound(data: bytes, sizes: list[int]) -> None:
    try:
        header = taken(data, sizes)
    except Malformed:
        return
    if complete(header):
        try:
            parse(header)
        except Malformed:
            return
    else:
        assert header == data


@given(headers(), st.data())
def test_a_header_that_is_changed_is_refused_or_another_header(
    header: tuple[bytes, Origin], data: st.DataObject
) -> None:
    """It never ends in anything but Malformed."""
    at = data.draw(st.integers(0, len(header[0]) - 1))
    changed = header[0][:at] + bytes([data.draw(st.integers(0, 255))]) + header[0][at + 1 :]
    try:
        parse(taken(changed, []))
    except Malformed:
        return


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        binary(0x20, 0x00, b""),
        binary(0x20, 0x11, b"whatever"),
        binary(0x21, 0x00, b""),
        binary(0x21, 0x31, b"\0" * 216),
    ],
)
def test_a_proxys_own_connection_and_an_unknown_one_have_no_origin(header: bytes) -> None:
    assert parse(taken(header + b"GET /", [])) == Origin()


def test_a_mapped_address_is_its_ipv4_address() -> None:
    mapped = IPv6Address("::ffff:192.0.2.1").packed + IPv6Address("::1").packed + b"\0\1\0\2"
    assert parse(binary(0x21, 0x21, mapped)).address == "192.0.2.1"
    assert parse(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n").address == "192.0.2.1"


ADDRESSES = IPv4Address("192.0.2.1").packed * 2 + b"\0\1\0\2"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY UNKNOWN" + b"x" * 100 + b"\r\n",
        b"PROXY TCP4 " + b" " * 200,
        binary(0x11, 0x11, ADDRESSES),
        binary(0x22, 0x11, ADDRESSES),
        binary(0x21, 0x12, ADDRESSES),
        binary(0x21, 0x41, ADDRESSES),
        binary(0x21, 0x11, ADDRESSES[:-1]),
        binary(0x21, 0x21, ADDRESSES),
        binary(0x21, 0x11, ADDRESSES + b"\0"),
        binary(0x21, 0x11, ADDRESSES + b"\x04\0\5abc"),
        binary(0x21, 0x11, ADDRESSES + tlv(0x20, b"\x01")),
        binary(0x21, 0x11, ADDRESSES + tlv(4, b"\0" * 4000)),
        SIGNATURE[:11] + b"X" + b"\x21\x11\0\x0c" + ADDRESSES,
    ],
)
def test_what_is_no_strict_header_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(taken(data, []))
