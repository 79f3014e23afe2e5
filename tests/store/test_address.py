"""How a store's URL is read."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.store.address import Address, with_password


def test_one_server_with_credentials_and_database() -> None:
    read = Address.of("redis://shop:p%40ss@store:6380/3")
    assert (read.kind, read.servers, read.database, read.tls) == ("server", (("store", 6380),), 3, False)
    assert read.credentials == {"username": "shop", "password": "p@ss"}


def test_a_socket_has_no_servers() -> None:
    read = Address.of("unix:///run/store.sock?db=2")
    assert (read.path, read.servers, read.database) == ("/run/store.sock", (), 2)


def test_a_cluster_has_several_servers_and_their_certificates() -> None:
    read = Address.of("rediss+cluster://:secret@a:7000,[::1],c/?ssl_ca_certs=/etc/ca.crt&ssl_check_hostname=false")
    assert read.servers == (("a", 7000), ("::1", 6379), ("c", 6379))
    assert read.certificates == {"ssl_ca_certs": "/etc/ca.crt", "ssl_check_hostname": False}
    one = read.at(("b", 7001))
    assert (one.kind, one.servers, one.tls) == ("server", (("b", 7001),), True)
    assert (one.credentials, one.certificates) == (read.credentials, read.certificates)


def test_sentinels_have_a_master_and_credentials_of_their_own() -> None:
    read = Address.of("redis+sentinel://:store@a,b:26380/mymaster/1?sentinel_password=watch")
    assert (read.kind, read.servers) == ("sentinel", (("a", 26379), ("b", 26380)))
    assert (read.master, read.database) == ("mymaster", 1)
    assert (read.credentials, read.sentinel) == ({"password": "store"}, {"password": "watch"})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://store", "is not a store URL"),
        ("redis+sentinel://:hush@a:26379", "names no master"),
        ("redis+sentinel://:hush@a:26379/mymaster/x", "is a number"),
        ("redis+cluster://:hush@a:6379/1", "database 0 alone"),
        ("redis://:hush@a:port", "cannot be read"),
        ("redis://:hush@a/0?ssl_ca_certs=/ca", "ssl_ca_certs= is not known here"),
        ("rediss://:hush@a/0?ssl_ca_cert=/ca", "ssl_ca_cert= is not known here"),
        ("redis://:hush@a/0/1", "no number of a database"),
    ],
)
def test_what_cannot_be_read_is_refused_without_the_password(url: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Address.of(url)
    assert said in str(caught.value.detail)
    assert "hush" not in str(caught.value.detail)


def test_a_password_may_have_any_characters() -> None:
    url = with_password("redis+sentinel://shop@a:26379/m?db=0", "a:b/c@d?e#f%", "g&h=i")
    read = Address.of(url)
    assert read.credentials == {"username": "shop", "password": "a:b/c@d?e#f%"}
    assert read.sentinel == {"password": "g&h=i"}
    assert read.servers == (("a", 26379),)


@pytest.mark.parametrize("url", ["unix:///run/store.sock", "redis://store:6379/0"])
def test_without_a_password_a_url_stays_as_it_is(url: str) -> None:
    assert with_password(url, None) == url


def test_a_password_goes_to_a_socket_too() -> None:
    read = Address.of(with_password("unix:///run/store.sock", "a/b"))
    assert (read.path, read.credentials) == ("/run/store.sock", {"password": "a/b"})


def test_no_repr_shows_a_password() -> None:
    assert "hush" not in repr(Address.of("redis+sentinel://:hush@a/m?sentinel_password=hush"))
