"""TLS towards upstreams: own CA, client certificates, server names; wrong ones are told when they are read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from gateway.core.errors import BadGateway
from gateway.relay.certificates import Tls, WrongTls, context
from gateway.relay.names import FixedResolver, Resolved
from gateway.relay.network import Network
from gateway.relay.pool import open_upstream
from tests.upstreams import OK


def pem(part: trustme.Blob) -> str:
    return part.bytes().decode()


def chain(certificate: trustme.LeafCert) -> str:
    return "".join(pem(blob) for blob in certificate.cert_chain_pems)


@dataclass
class Served:
    port: int = 0
    names: list[str | None] = field(default_factory=list)  # asked for by SNI
    subjects: list[object] = field(default_factory=list)  # of client certificates


@contextlib.asynccontextmanager
async def tls_upstream(authority: trustme.CA, *names: str, clients: trustme.CA | None = None) -> AsyncIterator[Served]:
    """Answers everything with OK, over TLS."""
    served, tasks = Served(), set()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(server_side)
    server_side.sni_callback = lambda _socket, name, _context: served.names.append(name)
    if clients is not None:
        clients.configure_trust(server_side)
        server_side.verify_mode = ssl.CERT_REQUIRED

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        served.subjects.append(writer.get_extra_info("peercert"))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(OK)
        writer.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_side)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()
    await asyncio.gather(*tasks)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def outcome(url: str, tls: Tls, **options: object) -> int:
    network = Network(resolver=FixedResolver({"erp.test": Resolved(("127.0.0.1",), 5)}))
    opened = open_upstream([url], tls=context(tls), server_name=tls.server_name, network=network, **options)
    try:
        return (await opened.fetch(b"GET", b"/")).status
    finally:
        await opened.close()


async def test_the_own_ca_decides_and_the_target_s_host_is_asked_for_and_verified(authority: trustme.CA) -> None:
    trusted = Tls(ca=pem(authority.cert_pem))
    async with tls_upstream(authority, "erp.test") as served:
        url = f"https://erp.test:{served.port}"
        assert await outcome(url, trusted) == 200
        for tls in (Tls(), Tls(ca=pem(trustme.CA().cert_pem))):
            with pytest.raises(BadGateway):
                await outcome(url, tls)
        with pytest.raises(BadGateway):
            await outcome(f"https://127.0.0.1:{served.port}", trusted)
    assert served.names[0] == "erp.test"


async def test_another_server_name_is_asked_for_and_verified_where_it_is_given(authority: trustme.CA) -> None:
    ca = pem(authority.cert_pem)
    async with tls_upstream(authority, "inner.test") as served:
        url = f"https://127.0.0.1:{served.port}"
        assert await outcome(url, Tls(ca=ca, server_name="inner.test")) == 200
        with pytest.raises(BadGateway):
            await outcome(url, Tls(ca=ca, server_name="other.test"))
    assert served.names[0] == "inner.test"


async def test_an_address_is_verified_by_the_certificate_s_address(authority: trustme.CA) -> None:
    async with tls_upstream(authority, "127.0.0.1") as served:
        assert await outcome(f"https://127.0.0.1:{served.port}", Tls(ca=pem(authority.cert_pem))) == 200


async def test_only_an_explicit_verify_false_takes_any_certificate(authority: trustme.CA) -> None:
    async with tls_upstream(authority, "other.test") as served:
        assert await outcome(f"https://127.0.0.1:{served.port}", Tls(verify=False)) == 200


async def test_the_gateway_proves_itself_by_its_certificate(authority: trustme.CA) -> None:
    clients = trustme.CA()
    own = clients.issue_cert("gateway.test")
    ca = pem(authority.cert_pem)
    proving = Tls(ca=ca, certificate=chain(own), key=pem(own.private_key_pem))
    async with tls_upstream(authority, "127.0.0.1", clients=clients) as served:
        url = f"https://127.0.0.1:{served.port}"
        assert await outcome(url, proving) == 200
        assert served.subjects[-1]
        with pytest.raises(BadGateway):
            await outcome(url, Tls(ca=ca))


def test_certificates_are_read_from_absolute_paths(tmp_path: Path, authority: trustme.CA) -> None:
    own = authority.issue_cert("gateway.test")
    for name, text in (("ca", pem(authority.cert_pem)), ("crt", chain(own)), ("key", pem(own.private_key_pem))):
        (tmp_path / name).write_text(text)
    context(Tls(*(str(tmp_path / name) for name in ("ca", "crt", "key"))))
    assert not [name for name in os.listdir("/proc/self/fd") if "penstock" in os.path.realpath(f"/proc/self/fd/{name}")]


@pytest.mark.parametrize(
    ("change", "field_", "message"),
    [
        ({"ca": "ca.pem"}, "ca", "absolute path"),
        ({"ca": "/nonexistent/ca.pem"}, "ca", "cannot be read"),
        ({"ca": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"}, "ca", "can be read"),
        ({"ca": "-----BEGIN NOTHING-----"}, "ca", "no certificate"),
        ({"certificate": "-----BEGIN NOTHING-----"}, "certificate", "no certificate"),
        ({"key": "-----BEGIN CERTIFICATE-----"}, "key", "no private key"),
        ({"key": "other"}, "key", "work together"),
        ({"key": "encrypted"}, "key", "encrypted"),
    ],
)
def test_what_is_wrong_is_told_by_its_field_without_a_key(
    authority: trustme.CA, change: dict[str, str], field_: str, message: str
) -> None:
    from cryptography.hazmat.primitives import serialization

    own = authority.issue_cert("gateway.test")
    key = pem(own.private_key_pem)
    loaded = serialization.load_pem_private_key(key.encode(), None)
    encrypted = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw")
    ).decode()
    other = pem(authority.issue_cert("other.test").private_key_pem)
    change = {name: {"other": other, "encrypted": encrypted}.get(text, text) for name, text in change.items()}
    with pytest.raises(WrongTls, match=message) as wrong:
        context(Tls(**{"certificate": chain(own), "key": key} | change))
    assert wrong.value.field == field_
    assert key.splitlines()[1] not in str(wrong.value)
