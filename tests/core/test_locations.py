"""Where upstreams are, as documents write it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.locations import Location


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "authority"),
    [
        ("http://erp", "erp", 80, False, b"erp"),
        ("https://erp.example:8443/", "erp.example", 8443, True, b"erp.example:8443"),
        ("http://127.0.0.1:9000", "127.0.0.1", 9000, False, b"127.0.0.1:9000"),
        ("http://[2001:db8::7]:9000", "2001:db8::7", 9000, False, b"[2001:db8::7]:9000"),
        ("http://my_service.default.svc:80", "my_service.default.svc", 80, False, b"my_service.default.svc:80"),
    ],
)
def test_a_url_names_host_port_and_the_authority_that_the_upstream_gets(
    url: str, host: str, port: int, tls: bool, authority: bytes
) -> None:
    location = Location.parse(url)
    assert (location.host, location.port, location.tls, location.authority) == (host, port, tls, authority)
    assert location.prefix == b""


def test_a_unix_socket_may_have_a_prefix() -> None:
    location = Location.parse("unix:/run/app.sock:/api/")
    assert (location.socket, location.prefix, location.authority) == ("/run/app.sock", b"/api", b"localhost")
    assert Location.parse("unix:/run/app.sock").prefix == b""


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "1.2.3.4.5", "256.1.1.1", "a.0x7f",
     "127.0.0.01", "１２７.0.0.1", "127。0。0。1", "0", "-a", "a..b", "a b", "%31", "localhost%00"],
)  # fmt: skip
def test_m73_a_host_that_resolvers_read_in_different_ways_is_refused(host: str) -> None:
    with pytest.raises(ValueError):
        Location.parse(f"http://{host}:80")


@pytest.mark.parametrize(
    "url",
    ["", "erp:80", "ftp://erp", "http://", "http://u:p@erp", "http://@erp", "http://erp?x", "http://erp?", "http://erp#",
     "http://erp:0", "http://erp:99999", "http://erp:x", "http://[fe80::1%25eth0]:80", "http://[::1", "http://[erp]",
     "unix:app.sock", "unix:", "unix:/a b", "unix:/run/../etc/x", "unix:/a:b", "unix:/" + "x" * 108],
)  # fmt: skip
def test_what_is_no_target_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Location.parse(url)


@given(st.ip_addresses())
def test_every_canonical_address_is_taken_as_itself(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    assert Location.parse(f"http://{host}:1").address == address


@given(st.text(max_size=30))
def test_any_text_is_a_location_or_a_value_error(text: str) -> None:
    for url in (text, "http://" + text, "unix:" + text):
        try:
            location = Location.parse(url)
        except ValueError:
            continue
        assert location.authority.isascii()
        assert not set(location.authority) & set(b" \r\n\t/@")
