"""`http-signature`: RFC 9421, against its own test vectors and requests signed by another implementation's signer."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms
from pydantic import ValidationError

from gateway.core.chain import Chain
from gateway.core.exchange import Peer
from gateway.policy import http_signature
from gateway.policy.credentials import content_digest
from tests.policy.policy_harness import Gateway, json_of

Fields = list[tuple[bytes, bytes]]

# RFC 9421 appendix B.1.4 and the request of appendix B.2
ED25519 = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
"""
CREATED = 1618884473
B26: Fields = [
    (b"Host", b"example.com"),
    (b"Date", b"Tue, 20 Apr 2021 02:07:55 GMT"),
    (b"Content-Type", b"application/json"),
    (
        b"Content-Digest",
        b"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    ),
    (
        b"Signature-Input",
        b'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
        b';created=1618884473;keyid="test-key-ed25519"',
    ),
    (
        b"Signature",
        b"sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    ),
]
BODY = b'{"hello": "world"}'


async def test_the_vector_of_the_rfc_is_proved(gateway: Gateway) -> None:
    """RFC 9421 appendix B.2.6 (Ed25519)"""
    config = {
        "keys": {"test-key-ed25519": {"algorithm": "ed25519", "key": ED25519, "application": "rfc"}},
        "required": ["@method", "@path", "@authority"],
        "body": "unsigned",
    }
    gateway.clock.now = CREATED + 2.0
    chain = gateway.chain(gateway.build(http_signature.KIND, config))
    answer = await gateway.request(chain, B26, "/foo?param=Value&Pet=dog", "POST", body=BODY)
    assert json_of(answer)["identity"][0] == "rfc"
    changed = [(name, b"application/xml" if name == b"Content-Type" else value) for name, value in B26]
    assert (await gateway.request(chain, changed, "/foo?param=Value&Pet=dog", "POST", body=BODY)).status == 401
    assert (await gateway.request(chain, B26, "/bar?param=Value&Pet=dog", "POST", body=BODY)).status == 401
    signed_body = gateway.chain(gateway.build(http_signature.KIND, config | {"body": "signed"}))
    assert (await gateway.request(signed_body, B26, "/foo?param=Value&Pet=dog", "POST", body=BODY)).status == 401


@dataclass
class Request:
    """What the signer signs; it writes its fields into `headers`."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)


PRIVATE: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ecdsa-p256-sha256": ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384-sha384": ec.generate_private_key(ec.SECP384R1()),
    "rsa-pss-sha512": rsa.generate_private_key(65537, 2048),
    "hmac-sha256": b"a secret of both sides",
}
SIGNERS: dict[str, Any] = {
    "ed25519": algorithms.ED25519,
    "ecdsa-p256-sha256": algorithms.ECDSA_P256_SHA256,
    "ecdsa-p384-sha384": algorithms.ECDSA_P384_SHA384,
    "rsa-pss-sha512": algorithms.RSA_PSS_SHA512,
    "hmac-sha256": algorithms.HMAC_SHA256,
}


def public(algorithm: str) -> str:
    key = PRIVATE[algorithm]
    if isinstance(key, bytes):
        return key.decode()
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


KEYS: dict[str, Any] = {
    name: {"algorithm": name, "key": public(name), "application": "partner", "plan": "gold"} for name in PRIVATE
}


def signed(
    gateway: Gateway,
    target: str = "/orders/1",
    method: str = "GET",
    algorithm: str = "ed25519",
    body: bytes | None = None,
    covered: tuple[str, ...] = ("@method", "@target-uri"),
    created: float = 0.0,
    signer: str = "",
    **more: Any,
) -> Fields:
    request = Request(method, f"http://example.com{target}")
    if body is not None:
        request.headers["Content-Digest"] = content_digest.field(body).decode()
        covered, more = (*covered, "content-digest"), more | {"use_existing_digest": True}
    kind = SIGNERS[signer or algorithm]
    keys = MappingKeyResolver(public_keys={}, private_keys={algorithm: PRIVATE[signer or algorithm]})
    at = datetime.datetime.fromtimestamp(gateway.clock.time() + created, datetime.UTC)
    HTTPMessageSigner(signature_algorithm=kind, key_resolver=keys).sign(
        request, key_id=algorithm, created=at, covered_component_ids=covered, **more
    )
    fields = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    return [(b"Host", b"example.com"), *fields]


@pytest.fixture
def chain(gateway: Gateway) -> Chain:
    return gateway.chain(gateway.build(http_signature.KIND, {"keys": KEYS}))


@pytest.mark.parametrize("algorithm", PRIVATE)
async def test_each_algorithm_proves_its_application(gateway: Gateway, chain: Chain, algorithm: str) -> None:
    told = json_of(await gateway.request(chain, signed(gateway, algorithm=algorithm), "/orders/1"))
    assert told["identity"] == ["partner", "gold", f"http-signature:{algorithm}"]
    assert told["drop"] == ["signature", "signature-input"]


@pytest.mark.parametrize("target", ["/a%20b/c~", "/a?x=%20&y", "/a?", "/a?x=a+b&x=%2B"])
async def test_the_target_is_signed_as_it_is_sent(gateway: Gateway, chain: Chain, target: str) -> None:
    assert (await gateway.request(chain, signed(gateway, target), target)).status == 200
    assert (await gateway.request(chain, signed(gateway, target), target + "x")).status == 401


async def test_the_key_decides_the_algorithm_never_the_message(gateway: Gateway, chain: Chain) -> None:
    """CASES C44: a public key is no secret of HMAC."""
    secret = public("ed25519").encode()
    PRIVATE["confused"] = secret
    SIGNERS["confused"] = algorithms.HMAC_SHA256
    for include_alg in (True, False):
        fields = signed(gateway, algorithm="ed25519", signer="confused", include_alg=include_alg)
        assert (await gateway.request(chain, fields, "/orders/1")).status == 401


@pytest.mark.parametrize(
    ("config", "more", "status"),
    [
        ({}, {"covered": ("@method",)}, 401),
        ({"required": ["@method"]}, {"covered": ("@method",)}, 200),
        ({}, {"created": -331}, 401),
        ({}, {"created": -329}, 200),
        ({}, {"created": 31}, 401),
        ({}, {"created": 29}, 200),
        ({"nonce": "required"}, {}, 401),
        ({"nonce": "required"}, {"nonce": "n1"}, 200),
        ({"tag": "app"}, {"tag": "app"}, 200),
        ({"tag": "app"}, {"tag": "other"}, 401),
    ],
)
async def test_what_must_be_covered_and_when_it_was_made(
    gateway: Gateway, config: dict[str, Any], more: dict[str, Any], status: int
) -> None:
    chain = gateway.chain(gateway.build(http_signature.KIND, {"keys": KEYS} | config))
    assert (await gateway.request(chain, signed(gateway, **more), "/orders/1")).status == status


@pytest.mark.parametrize(("off", "status"), [(-31, 401), (-29, 200), (10, 200)])
async def test_a_signature_ends_when_it_says_so(gateway: Gateway, chain: Chain, off: int, status: int) -> None:
    expires = datetime.datetime.fromtimestamp(gateway.clock.time() + off, datetime.UTC)
    fields = signed(gateway, created=-60, expires=expires)
    assert (await gateway.request(chain, fields, "/orders/1")).status == status


async def test_a_body_is_compared_with_what_was_signed(gateway: Gateway, chain: Chain) -> None:
    fields = signed(gateway, method="POST", body=b"abc")
    assert (await gateway.request(chain, fields, "/orders/1", "POST", body=b"abc")).status == 200
    assert (await gateway.request(chain, fields, "/orders/1", "POST", body=b"abd")).status == 401
    assert (await gateway.request(chain, fields, "/orders/1", "POST")).status == 401
    bare = signed(gateway, method="POST")
    assert (await gateway.request(chain, bare, "/orders/1", "POST", body=b"abc")).status == 401
    beside = [*bare, (b"Content-Digest", content_digest.field(b"abc"))]
    assert (await gateway.request(chain, beside, "/orders/1", "POST", body=b"abc")).status == 401


async def test_a_signature_with_a_nonce_is_good_once(gateway: Gateway, chain: Chain) -> None:
    fields = signed(gateway, nonce="n1")
    assert [(await gateway.request(chain, fields, "/orders/1")).status for _ in range(2)] == [200, 401]


async def test_an_unknown_key_and_none_are_refused(gateway: Gateway, chain: Chain) -> None:
    """CASES C40: what is wrong is not told."""
    fields = [(name, value.replace(b'"ed25519"', b'"nobody"')) for name, value in signed(gateway)]
    answer = await gateway.request(chain, fields, "/orders/1")
    assert (answer.status, json_of(answer)["detail"]) == (401, "The signature is not valid.")
    answer = await gateway.request(chain)
    assert answer.status == 401
    assert answer.get(b"accept-signature") == b'sig1=("@method" "@target-uri");created;keyid'


@pytest.mark.parametrize(
    "value",
    [b"sig1=", b'sig1=("@method");created=1', b'a=("@method");keyid="x", b=("@method");keyid="y"', b"sig1=5", b"\xff"],
)
async def test_a_malformed_field_is_refused(gateway: Gateway, chain: Chain, value: bytes) -> None:
    """CASES C41: two signatures are one too many."""
    fields = [(b"Host", b"h"), (b"Signature-Input", value), (b"Signature", b"sig1=:AAAA:")]
    assert (await gateway.request(chain, fields, "/orders/1")).status in {400, 401}
    assert not gateway.seen


async def test_the_scheme_that_the_client_used_is_signed(gateway: Gateway, chain: Chain) -> None:
    fields = signed(gateway)
    peer = Peer("127.0.0.1", 0, "https", "127.0.0.1")
    assert (await gateway.request(chain, fields, "/orders/1", peer=peer)).status == 401


@pytest.mark.parametrize("config", [{"directory": False}, {"keys": {"a": {"algorithm": "none", "key": "x"}}}])
def test_a_configuration_that_cannot_be_meant_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        http_signature.KIND.config.model_validate(config)


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa-pss-sha512", "hmac-sha256"])
def test_a_key_that_is_none_is_refused_and_not_repeated(gateway: Gateway, algorithm: str) -> None:
    config = {"keys": {"a": {"algorithm": algorithm, "key": "planted-text"}}}
    with pytest.raises(ValueError) as refused:
        gateway.build(http_signature.KIND, config)
    assert "planted-text" not in str(refused.value)
    assert load_pem_public_key(ED25519.encode())
