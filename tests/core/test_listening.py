"""Listeners: one model, written as a map or as a compact text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.core.listening import Listener
from gateway.core.settings import Settings, from_environment

words = st.text("abcdefghijklmnop./-_", min_size=1, max_size=12)
pairs = st.lists(st.tuples(words, words), min_size=1, max_size=3)
networks = st.sampled_from(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])


def settings(*listen: Any, **more: Any) -> Settings:
    return Settings.model_validate({"listen": list(listen), **more})


def refusal(*listen: Any, **more: Any) -> str:
    with pytest.raises(ValidationError) as error:
        settings(*listen, **more)
    return str(error.value)


@given(
    st.sampled_from(["0.0.0.0:8443", "[::1]:0", "gw.example:443"]),
    st.none() | pairs,
    st.none() | words,
    st.booleans() | st.lists(networks, min_size=1, max_size=3),
)
def test_the_text_and_the_map_of_a_listener_say_the_same(
    address: str, certificates: list[tuple[str, str]] | None, authority: str | None, proxies: bool | list[str]
) -> None:
    text, written = address, {"address": address, "proxy_protocol": proxies}
    for each in proxies if isinstance(proxies, list) else [str(proxies).lower()]:
        text += f" proxy_protocol={each}"
    if certificates is not None:
        text += "".join(f" certificate={certificate} key={key}" for certificate, key in certificates)
        written["tls"] = {"certificates": [{"certificate": one, "key": other} for one, other in certificates]}
        if authority is not None:
            text += f" client_ca={authority} client_auth=optional min_version=1.3"
            written["tls"] |= {"client_ca": authority, "client_auth": "optional", "min_version": "1.3"}
    trusted = {"trusted_proxies": ["10.1.1.1"]}
    assert settings(text, **trusted).listen == settings(written, **trusted).listen


def test_a_unix_socket_is_a_path_with_a_mode() -> None:
    (listener,) = settings("unix:/run/gw.sock mode=0600 name=local").listen
    assert listener == Listener(unix=Path("/run/gw.sock"), mode="0600", name="local")
    assert listener.socket_mode == 0o600
    assert settings("unix:/run/gw.sock").listen[0].socket_mode == 0o660


def test_host_and_port_are_the_first_plain_listener_unless_only_listen_is_given() -> None:
    assert [each.place for each in Settings().listeners] == ["127.0.0.1:8080"]
    assert [each.place for each in settings("127.0.0.1:1").listeners] == ["127.0.0.1:1"]
    assert [each.place for each in settings("127.0.0.1:1", port=2).listeners] == ["127.0.0.1:2", "127.0.0.1:1"]
    assert [each.place for each in settings("[::]:1", host="::1").listeners] == ["[::1]:8080", "[::]:1"]


def test_listeners_stand_in_one_variable() -> None:
    found = from_environment({"PENSTOCK_LISTEN": "0.0.0.0:8443 certificate=a.pem key=a.key, unix:/run/gw.sock"})
    assert [each.place for each in settings(*found["listen"]).listen] == ["0.0.0.0:8443", "unix:/run/gw.sock"]


def test_settings_survive_the_way_to_a_child() -> None:
    given_ = settings("127.0.0.1:1 certificate=a key=b client_ca=c proxy_protocol=10.0.0.0/8", "unix:/x mode=600")
    assert Settings.model_validate(given_.model_dump(mode="json")).listeners == given_.listeners


@pytest.mark.parametrize(
    ("listener", "says"),
    [
        ("8443", "HOST:PORT"),
        (":8443", "HOST:PORT"),
        ("host:65536", "HOST:PORT"),
        ("host:+1", "HOST:PORT"),
        ("::1:80", "brackets"),
        ("", "address"),
        ("unix:", "unix"),
        ("a:1 colour=red", "not understood"),
        ("a:1 name", "not understood"),
        ("a:1 name=x name=y", "twice"),
        ("a:1 certificate=a", "needs its key"),
        ("a:1 client_ca=x", "certificates"),
        ("a:1 certificate=a key=b client_auth=required", "client_ca"),
        ("a:1 certificate=a key=b client_ca=c client_auth=sometimes", "client_auth"),
        ("a:1 certificate=a key=b min_version=1.1", "min_version"),
        ("a:1 mode=0600", "mode"),
        ("unix:/x mode=0800", "mode"),
        ("a:1 proxy_protocol=10.0.0.0/99", "network"),
        ("a:1 proxy_protocol=true", "trusted_proxies"),
        ("unix:/x proxy_protocol=10.0.0.0/8", "mode"),
        ({"address": "a:1", "unix": "/x"}, "either"),
        ({}, "either"),
        ({"address": "a:1", "tls": {}}, "certificates"),
        ({"address": "a:1", "adress": "b"}, "adress"),
        ({"unix": "/x", "mode": 660}, "mode"),
        (8443, "dictionary"),
    ],
)
def test_a_listener_that_is_not_understood_is_refused_with_the_reason(listener: Any, says: str) -> None:
    assert says in refusal(listener)


def test_two_listeners_at_one_place_or_of_one_name_are_refused() -> None:
    assert "127.0.0.1:1 is listened on twice" in refusal("127.0.0.1:1", "127.0.0.1:1")
    assert "127.0.0.1:8080 is listened on twice" in refusal("127.0.0.1:8080", port=8080)
    assert "named a" in refusal("127.0.0.1:1 name=a", "127.0.0.1:2 name=a")
    assert settings("127.0.0.1:0", "127.0.0.1:0")


def test_a_trusted_proxy_that_is_no_network_is_refused() -> None:
    assert "no network" in refusal(trusted_proxies=["10.0.0.0/8", "localhost"])
