"""An HTTP backend's document becomes what the relay opens."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest
import trustme

from gateway.backend import http_options
from gateway.backend.http import HttpConnection, http_kind
from gateway.core.egress import Egress
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import Services
from gateway.manifest.http_backend import HttpBackend
from gateway.relay.network import Network
from gateway.relay.settings import IN_TURN, Balancing, Breaking, Ejection, Hashing, Health, Settings

ALL: dict[str, Any] = {
    "targets": ["http://one", {"url": "http://two", "weight": 3}],
    "balance": {"hash": {"header": "X-User"}, "bound": 1.25},
    "timeout": "1s",
    "connect_timeout": "2s",
    "idle_timeout": "3s",
    "total_timeout": "4s",
    "retries": 2,
    "retry_on": [503],
    "fail_on": [500],
    "max_connections": 5,
    "queue": 6,
    "queue_timeout": "7s",
    "keep_alive": "8s",
    "max_age": "9s",
    "max_requests": 10,
    "dns_ttl": "11s",
    "health": {"path": "/h", "interval": "12s", "timeout": "13s", "healthy": 14, "unhealthy": 15, "status": [204]},
    "ejection": {"failures": 16, "time": "17s", "max_time": "18s", "share": 0.19},
    "circuit": {"per": "upstream", "failures": 20, "rate": 0.21, "calls": 22, "window": "23s", "open": "24s"},
}


def test_every_setting_arrives() -> None:
    config = HttpBackend.model_validate(ALL)
    assert http_options.targets(config) == [("http://one", 1), ("http://two", 3)]
    assert Settings(**http_options.settings(config)) == Settings(
        timeout=1, connect_timeout=2, idle_timeout=3, total_timeout=4, retries=2, retry_on=frozenset((503,)),
        max_connections=5, queue=6, queue_timeout=7, keep=8, max_age=9, max_requests=10, dns_ttl=11,
    )  # fmt: skip
    assert http_options.balancing(config) == Balancing(
        hashing=Hashing("header", "X-User", 1.25),
        health=Health(b"/h", 12, 13, 14, 15, frozenset((204,))),
        ejection=Ejection(16, 17, 18, 0.19),
        breaking=Breaking(20, 0.21, 22, 23, 24, whole_upstream=True),
        fail_on=frozenset((500,)),
    )


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        ("round-robin", IN_TURN),
        ("least-loaded", Balancing(least_loaded=True)),
        ({"hash": "client-ip"}, Balancing(hashing=Hashing("client-ip"))),
        ({"hash": {"parameter": "id"}}, Balancing(hashing=Hashing("parameter", "id"))),
    ],
)
def test_each_way_to_balance_arrives(balance: Any, expected: Balancing) -> None:
    config = HttpBackend.model_validate({"targets": ["http://one"], "balance": balance, "slow_start": None})
    assert http_options.balancing(config) == expected


def test_what_costs_a_request_nothing_is_not_watched() -> None:
    config = HttpBackend.model_validate({"targets": ["http://one"], "health": {"path": "/"}, "slow_start": "5s"})
    assert not http_options.balancing(config).watches


def opened(config: dict[str, Any], *services: object) -> dict[str, Any]:
    given: dict[str, Any] = {}
    kind = http_kind(lambda targets, **options: given.update(options))  # type: ignore[arg-type,return-value]
    assert kind.open is not None
    kind.open(HttpConnection.model_validate(config), Services(*services))
    return given


def test_certificates_and_the_node_s_network_arrive() -> None:
    authority, network = trustme.CA(), Network()
    own = authority.issue_cert("gateway.test")
    tls = {
        "ca": authority.cert_pem.bytes().decode(),
        "certificate": own.cert_chain_pems[0].bytes().decode(),
        "key": own.private_key_pem.bytes().decode(),
        "server_name": "inner.test",
    }
    given = opened({"targets": ["https://one"], "tls": tls}, network)
    assert given["network"] is network
    assert given["server_name"] == "inner.test"
    assert [each["subject"] for each in given["tls"].get_ca_certs()]
    assert given["tls"].verify_mode is ssl.CERT_REQUIRED
    assert opened({"targets": ["http://one"]})["tls"] is None


def test_an_upstream_that_is_not_verified_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        given = opened({"targets": ["https://one"], "tls": {"verify": False}})
    assert given["tls"].verify_mode is ssl.CERT_NONE
    assert "https://one" in caplog.text


def test_what_the_environment_fills_in_is_checked_like_what_was_written() -> None:
    for wrong in ({"targets": ["http://0x7f.1"]}, {"targets": ["http://one"], "timeout": "soon"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HttpConnection.model_validate({"targets": ["http://one"]} | wrong)


def test_the_check_names_every_target_that_is_forbidden() -> None:
    config = HttpConnection.model_validate(
        {"targets": ["http://10.0.0.1", {"url": "http://169.254.169.254"}, "http://192.0.2.7"]}
    )
    with pytest.raises(DocumentsRefused) as refused:
        http_options.check(config, Egress.parse(["!10.0.0.0/8"]))
    assert [each.place.path for each in refused.value.findings] == ["/targets/0", "/targets/1/url"]
