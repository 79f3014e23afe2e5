"""How runtimes are written in flags, variables and files, and what of that cannot stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.runtime_settings import PREFIX, RuntimeSettings
from gateway.core.settings import Settings, from_environment


def runtimes(*given: Any, **more: Any) -> Any:
    return Settings(runtimes=given, **{"runtime_token": "t" * 16, **more}).runtimes


def test_a_text_and_a_map_say_the_same() -> None:
    text = "orders=orders:8090 ca=/ca.pem certificate=/me.pem key=/me.key server_name=far timeout=2.5 pin=code"
    tls = {"ca": "/ca.pem", "certificate": "/me.pem", "key": "/me.key", "server_name": "far"}
    given = {"name": "orders", "address": "orders:8090", "tls": tls, "timeout": 2.5, "pin": "code"}
    assert runtimes(text) == runtimes(given)


def test_the_authorities_of_the_machine_are_named_system() -> None:
    (only,) = runtimes("orders=orders:8090 ca=system")
    assert only.tls is not None
    assert only.tls.ca is None


def test_a_unix_socket_needs_no_token() -> None:
    (only,) = runtimes("orders=unix:/run/orders.sock", runtime_token=None)
    assert (only.unix, only.place, only.tls) == (Path("/run/orders.sock"), "unix:/run/orders.sock", None)


def test_a_variable_lists_them_between_commas() -> None:
    found = from_environment({"PENSTOCK_RUNTIMES": "a=h:1 ca=/x.pem, b=unix:/b"})
    assert found == {"runtimes": ("a=h:1 ca=/x.pem", "b=unix:/b")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no runtime; write NAME=HOST:PORT or NAME=unix:PATH"),
        ("orders", "is no runtime"),
        ("=orders:1", "is no runtime"),
        ("orders=", "is no runtime"),
        ("orders=host", "is no address"),
        ("orders=host:0", "no port that one could connect to"),
        ("Orders=host:1", "pattern"),
        ("orders=host:1 tls", "'tls' is not understood; behind the address stand NAME=VALUE words: ca, certificate"),
        ("orders=host:1 ca=", "'ca=' is not understood"),
        ("orders=host:1 pin=code pin=code", "pin stands there twice"),
        ("orders=host:1 pin=hash", "'contract' or 'code'"),
        ("orders=host:1 timeout=0", "greater than 0"),
        ("orders=host:1 certificate=/a", "certificate and key go together"),
        ("orders=unix:/a ca=/b", "a unix socket has no TLS"),
        (f"orders=unix:/{'a' * 110}", "at most 107 bytes"),
        ({"name": "orders"}, "either an address"),
        ({"name": "orders", "address": "h:1", "unix": "/a"}, "either an address"),
        ({"name": "orders", "address": "h:1", "tsl": {}}, "extra"),
    ],
)
def test_what_is_no_runtime_is_refused_with_the_way_out(text: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        runtimes(text)


def test_two_runtimes_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two runtimes are named orders"):
        runtimes("orders=a:1", "orders=b:1")


def test_a_runtime_at_a_port_needs_a_token() -> None:
    with pytest.raises(ValidationError, match="give runtime_token, the one that the runtime has"):
        runtimes("orders=a:1", runtime_token=None)


def hosting(**given: Any) -> RuntimeSettings:
    return RuntimeSettings.model_validate({"processes": ("shop",), "token": "t" * 16, **given})


def test_the_runtime_and_its_gateways_name_the_token_by_one_variable() -> None:
    environ = {"PENSTOCK_RUNTIME_TOKEN": "t" * 16}
    assert set(from_environment(environ)) == {"runtime_token"}
    assert set(from_environment(environ, RuntimeSettings, PREFIX)) == {"token"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"processes": ()}, "name a package"),
        ({"token": None}, "give one by PENSTOCK_RUNTIME_TOKEN"),
        ({"token": "short"}, "at least 16 characters"),
        ({"listen": "0.0.0.0:1 proxy_protocol=true"}, "of a gateway's listeners"),
        ({"threads": 0}, "greater than or equal to 1"),
        ({"max_message": 1}, "greater than or equal to 65536"),
    ],
)
def test_what_no_runtime_can_stand_on_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told) as caught:
        hosting(**given)
    assert "short" not in str(caught.value)


def test_a_runtime_on_a_unix_socket_may_be_without_a_token() -> None:
    assert hosting(listen="unix:/run/shop.sock mode=0600", token=None).token is None
