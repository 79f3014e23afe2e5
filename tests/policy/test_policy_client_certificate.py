"""`client-certificate`: whom a verified certificate lets in, and whose word about one is taken."""

from __future__ import annotations

import base64
import logging
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.core.certificate import ClientCertificate, client_certificate
from gateway.core.errors import BadRequest
from gateway.core.exchange import Peer
from gateway.policy import client_certificate as kind
from gateway.policy.credentials.certificate_fields import client_cert, forwarded_client_cert
from tests.policy.policy_harness import Gateway, json_of

APP = ClientCertificate("CN=app,O=Example", "CN=ca", "01", "ab" * 32, (("URI", "spiffe://example/app"),))
PROXY = Peer("10.0.0.1", 0, "https", "192.0.2.7")
RULE = {"name": "URI:spiffe://example/app", "application": "partner", "plan": "gold"}


def with_certificate(certificate: ClientCertificate | None) -> Peer:
    return Peer("192.0.2.7", 0, "https", "192.0.2.7", certificate)


async def asked(gateway: Gateway, config: Any, peer: Peer, fields: Any = ()) -> Any:
    return await gateway.request(gateway.chain(gateway.build(kind.KIND, config)), fields, peer=peer)


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ({"name": "URI:spiffe://example/app"}, 200),
        ({"subject": "CN=app,O=Example", "issuer": "CN=ca"}, 200),
        ({"fingerprint": ":".join(["AB"] * 32)}, 200),
        ({"issuer": "CN=ca"}, 200),
        ({"issuer": "CN=other"}, 401),
        ({"name": "DNS:spiffe://example/app"}, 401),
        ({"subject": "CN=app,O=Example", "issuer": "CN=other"}, 401),
        ({"subject": "CN=app"}, 401),
    ],
)
async def test_all_that_a_rule_says_must_fit(gateway: Gateway, rule: dict[str, Any], status: int) -> None:
    answer = await asked(gateway, {"certificates": [rule]}, with_certificate(APP))
    assert answer.status == status
    assert len(gateway.seen) == (status == 200)


async def test_a_certificate_is_its_application(gateway: Gateway) -> None:
    answer = await asked(gateway, {"certificates": [{"issuer": "CN=x"}, RULE]}, with_certificate(APP))
    assert json_of(answer)["identity"] == ["partner", "gold", "ab" * 32]


async def test_who_has_none_is_asked_for_one(gateway: Gateway) -> None:
    answer = await asked(gateway, {"certificates": [RULE]}, with_certificate(None))
    assert (answer.status, answer.get(b"www-authenticate")) == (401, b'ClientCertificate realm="shop"')


# fields of proxies


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ClientCertificate]:
    """A certificate in PEM, and as a listener sees it."""
    authority = trustme.CA()
    pem = authority.issue_cert("app.example", "10.1.2.3", common_name="app").cert_chain_pems[0].bytes()
    file: Path = tmp_path_factory.mktemp("certificate") / "app.pem"
    file.write_bytes(pem)
    decoded = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined]
    return pem, client_certificate(decoded, ssl.PEM_cert_to_DER_cert(pem.decode()))


def field_of(pem: bytes) -> bytes:
    return b":" + base64.b64encode(ssl.PEM_cert_to_DER_cert(pem.decode())) + b":"


def test_a_field_tells_of_a_certificate_what_a_listener_sees(issued: tuple[bytes, ClientCertificate]) -> None:
    """RFC 9440"""
    pem, seen = issued
    assert set(client_cert(field_of(pem)).names) == set(seen.names)
    assert client_cert(field_of(pem))._replace(names=(), not_after="") == seen._replace(names=(), not_after="")
    forwarded = f'Hash={"0" * 64};Cert="{quote(pem.decode())}";Subject="CN=other"'.encode()
    assert forwarded_client_cert(forwarded).fingerprint == seen.fingerprint


def by_field(name: str = "client-cert") -> dict[str, Any]:
    return {
        "certificates": [{"name": "DNS:app.example", "application": "partner"}],
        "field": {"name": name, "from": ["10.0.0.0/8"]},
    }


async def test_a_field_is_believed_of_the_proxies_that_are_listed(
    gateway: Gateway, issued: tuple[bytes, ClientCertificate]
) -> None:
    """CASES H35"""
    fields = [(b"Client-Cert", field_of(issued[0]))]
    assert (await asked(gateway, by_field(), PROXY, fields)).status == 200
    for other in (with_certificate(None), with_certificate(APP), PROXY._replace(address="11.0.0.1")):
        assert (await asked(gateway, by_field(), other, fields)).status == 401
    assert len(gateway.seen) == 1


async def test_a_proxys_own_certificate_is_not_its_clients(
    gateway: Gateway, issued: tuple[bytes, ClientCertificate]
) -> None:
    answer = await asked(gateway, by_field(), PROXY._replace(certificate=issued[1]))
    assert answer.status == 401
    assert not gateway.seen


@pytest.mark.parametrize("peer", [PROXY, with_certificate(APP)])
@pytest.mark.parametrize("config", [{"certificates": [{"issuer": "CN=ca"}]}, by_field()])
async def test_the_fields_never_reach_the_backend(
    gateway: Gateway, issued: tuple[bytes, ClientCertificate], peer: Peer, config: Any
) -> None:
    """CASES H33"""
    built = gateway.build(kind.KIND, config)
    assert built.conceals == {b"client-cert", b"client-cert-chain", b"x-forwarded-client-cert"}


async def test_a_field_in_two_places_is_refused(gateway: Gateway, issued: tuple[bytes, ClientCertificate]) -> None:
    """CASES C41"""
    fields = [(b"Client-Cert", field_of(issued[0]))] * 2
    assert (await asked(gateway, by_field(), PROXY, fields)).status == 400


@pytest.mark.parametrize("value", [b"", b"::", b":%%:", b":AAAA:", b"AAAA", b"a" * 5000])
async def test_a_field_that_holds_no_certificate_is_refused(gateway: Gateway, value: bytes) -> None:
    answer = await asked(gateway, by_field(), PROXY, [(b"Client-Cert", value)])
    assert answer.status == 400


HASH = "ab" * 32


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (f'By=spiffe://p;Hash={HASH};Subject="CN=a,O=\\"b\\"";URI=spiffe://a;DNS=a.example', ("URI", "DNS")),
        (f"Hash={'cd' * 32};URI=spiffe://wrong,Hash={HASH};URI=spiffe://a", ("URI",)),
        (f"Hash={'cd' * 32}, Hash={HASH};DNS=a.example", ("DNS",)),
    ],
)
def test_the_element_that_the_nearest_proxy_added_counts(value: str, names: tuple[str, ...]) -> None:
    told = forwarded_client_cert(value.encode())
    assert told.fingerprint == HASH
    assert tuple(each for each, _ in told.names) == names
    assert told.issuer == ""
    assert "wrong" not in str(told)


@pytest.mark.parametrize(
    "value",
    ["", "Hash", f"Hash={HASH},", f"Hash={HASH};", "Hash=abc", 'Subject="CN=a"', f'Hash={HASH};Subject="CN=a'],
)
def test_an_element_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        forwarded_client_cert(value.encode())


@given(st.binary(max_size=200))
def test_no_field_makes_a_parser_fail_otherwise(value: bytes) -> None:
    for parse in (client_cert, forwarded_client_cert):
        try:
            parse(value)
        except BadRequest:
            continue


async def test_no_log_holds_the_certificate(
    gateway: Gateway, issued: tuple[bytes, ClientCertificate], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = by_field() | {"certificates": [{"issuer": "CN=nobody"}]}
    assert (await asked(gateway, config, PROXY, [(b"Client-Cert", field_of(issued[0]))])).status == 401
    assert field_of(issued[0])[1:60].decode() not in caplog.text


@pytest.mark.parametrize(
    "config",
    [
        {"directory": False},
        {"certificates": [{"application": "partner"}]},
        {"certificates": [{"name": "app.example"}]},
        {"certificates": [{"fingerprint": "ab"}]},
        {"certificates": [RULE], "field": {"name": "client-cert"}},
        {"certificates": [RULE], "field": {"name": "x-cert", "from": ["10.0.0.1"]}},
        {"certificates": [RULE], "field": {"from": ["everywhere"]}},
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.KIND.config.model_validate(config)
