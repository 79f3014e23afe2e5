"""TLS of listeners: names, versions, client certificates, reload, and what goes wrong before a request."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from pathlib import Path

import orjson
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.core.exchange import Exchange, Reply
from gateway.core.listening import Listener, read
from gateway.core.live import Limits
from gateway.server.overload import SPARE
from gateway.server.tls_files import CertificateUnusable
from gateway.server.tls_keeper import Keeper
from tests.server.ports import AUTHORITY, Certificates, listening, reaching, trusting
from tests.serving import Client, cell

LOOP = "uvloop"  # of the workers: its TLS is not the standard library's
GET = b"GET / HTTP/1.1\r\nHost: gw.example\r\n\r\n"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def peer(exchange: Exchange) -> Reply:
    """What the gateway knows of the other end."""
    found = exchange.head.peer
    certificate = None if found.certificate is None else found.certificate._asdict()
    return Reply(200, body=orjson.dumps({"scheme": found.scheme, "client": found.client, "certificate": certificate}))


def names(client: Client) -> set[str]:
    """Of the certificate that the gateway showed."""
    return {value for _kind, value in client.writer.get_extra_info("peercert")["subjectAltName"]}


async def told(client: Client) -> dict[str, object]:
    client.send(GET)
    status, _, body = await client.answer()
    assert status == 200
    return dict(orjson.loads(body))


async def test_a_client_gets_the_certificate_of_the_server_that_it_names(certificates: Certificates) -> None:
    words = " ".join(
        (certificates.put("a", "gw.example"), certificates.put("b", "*.b.example"), certificates.put("c", "c.example"))
    )
    lax = trusting(check_hostname=False)
    async with listening(cell(peer), f"127.0.0.1:0 {words}") as (_, [place]):
        for name, shown in (
            ("gw.example", "gw.example"),
            ("x.b.example", "*.b.example"),
            ("C.EXAMPLE", "c.example"),
            ("y.x.b.example", "gw.example"),
            ("other.example", "gw.example"),
            ("127.0.0.1", "gw.example"),
        ):
            async with reaching(place, lax, name) as client:
                assert names(client) == {shown}, name
                assert (await told(client))["scheme"] == "https"


async def test_http_1_1_is_the_one_protocol_that_is_agreed_on(certificates: Certificates) -> None:
    context = trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    words = certificates.put("a", "gw.example")
    async with listening(cell(peer), f"127.0.0.1:0 {words}") as (_, [place]), reaching(place, context) as client:
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("words", "most", "agreed"),
    [
        ("", "TLSv1_1", None),
        ("", "TLSv1_2", "TLSv1.2"),
        ("", "TLSv1_3", "TLSv1.3"),
        (" min_version=1.3", "TLSv1_2", None),
        (" min_version=1.3", "TLSv1_3", "TLSv1.3"),
    ],
)
async def test_the_least_version_is_held(certificates: Certificates, words: str, most: str, agreed: str | None) -> None:
    context = trusting()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion[most]
    async with listening(cell(peer), f"127.0.0.1:0 {certificates.put('a', 'gw.example')}{words}") as (port, [place]):
        if agreed is None:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                async with reaching(place, context):
                    raise AssertionError
            assert port.told(0)["load"]["counters"]["tls_handshake_failures"] == 1
        else:
            async with reaching(place, context) as client:
                assert client.writer.get_extra_info("ssl_object").version() == agreed


async def test_a_verified_client_certificate_is_part_of_the_peer(certificates: Certificates) -> None:
    own = AUTHORITY.issue_cert("app.example", common_name="the app", organization_name="Ex, Inc.")
    words = f"{certificates.put('a', 'gw.example')} {certificates.ca}"
    context = trusting(own=own)
    async with listening(cell(peer), f"127.0.0.1:0 {words}") as (_, [place]), reaching(place, context) as client:
        found = (await told(client))["certificate"]
    der = ssl.PEM_cert_to_DER_cert(own.cert_chain_pems[0].bytes().decode())
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    certificate = x509.load_der_x509_certificate(der)
    assert isinstance(found, dict)
    assert found["names"] == [["DNS", "app.example"]]
    assert found["fingerprint"] == certificate.fingerprint(SHA256()).hex()
    assert int(str(found["serial"]), 16) == certificate.serial_number
    assert str(found["subject"]).startswith("CN=the app,")
    assert "O=Ex\\, Inc." in str(found["subject"])


async def test_a_client_without_a_certificate_is_refused_where_one_is_required(certificates: Certificates) -> None:
    words = f"{certificates.put('a', 'gw.example')} {certificates.ca}"
    live = cell(peer)
    async with listening(live, f"127.0.0.1:0 {words}") as (port, [place]):
        for own in (None, trustme.CA().issue_cert("app.example")):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                async with reaching(place, trusting(own=own)) as client:
                    await told(client)
        assert port.told(0)["load"]["counters"]["tls_handshake_failures"] == 2
    assert not live.observe.exchanges  # type: ignore[attr-defined]


async def test_an_optional_certificate_may_be_left_out_and_must_hold_if_shown(certificates: Certificates) -> None:
    words = f"{certificates.put('a', 'gw.example')} {certificates.ca} client_auth=optional"
    async with listening(cell(peer), f"127.0.0.1:0 {words}") as (_, [place]):
        async with reaching(place, trusting()) as client:
            assert (await told(client))["certificate"] is None
        async with reaching(place, trusting(own=AUTHORITY.issue_cert("app.example"))) as client:
            assert (await told(client))["certificate"] is not None
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            async with reaching(place, trusting(own=trustme.CA().issue_cert("app.example"))) as client:
                await told(client)


async def test_a_plain_request_on_a_tls_port_ends_cleanly_and_tls_on_a_plain_port_too(
    certificates: Certificates,
) -> None:
    live = cell(peer)
    listen = (f"127.0.0.1:0 {certificates.put('a', 'gw.example')}", "127.0.0.1:0")
    async with listening(live, *listen) as (port, [tls, plain]):
        async with reaching(tls) as client:
            client.send(GET)
            assert not (await client.rest()).startswith(b"HTTP/")
        with pytest.raises(OSError):
            async with reaching(plain, trusting()):
                raise AssertionError
        async with reaching(tls, trusting()) as client:
            assert await told(client)
        async with reaching(plain) as client:
            assert await told(client)
        assert port.told(0)["load"]["counters"]["tls_handshake_failures"] == 1
    assert sorted(each.status for each in live.observe.exchanges) == [200, 200, 400]  # type: ignore[attr-defined]


async def test_a_handshake_that_does_not_come_is_ended(certificates: Certificates) -> None:
    """CASES A57"""
    words = certificates.put("a", "gw.example")
    async with listening(cell(peer), f"127.0.0.1:0 {words}", head_timeout=0.2) as (port, [place]):
        async with reaching(place) as client:
            assert await client.rest() == b""
        assert port.told(0)["load"]["counters"]["tls_handshake_failures"] == 1
        assert port.acceptor.pending == 0


async def test_handshakes_that_are_too_many_are_not_begun(certificates: Certificates) -> None:
    live = cell(peer)
    live.limits = Limits(connections=1)
    words = certificates.put("a", "gw.example")
    async with listening(live, f"127.0.0.1:0 {words}") as (port, [place]), contextlib.AsyncExitStack() as stack:
        for _ in range(1 + SPARE):
            await stack.enter_async_context(reaching(place))
        async with reaching(place) as client:
            assert await client.rest() == b""
        assert port.acceptor.pending == 1 + SPARE
        assert port.told(0)["load"]["counters"]["refused_connections"] == 1


async def test_new_files_serve_new_connections_and_lose_no_old_one(certificates: Certificates) -> None:
    words = certificates.put("a", "gw.example", "old.example")
    async with listening(cell(peer), f"127.0.0.1:0 {words}") as (port, [place]), reaching(place, trusting()) as before:
        assert await told(before)
        certificates.put("a", "gw.example", "new.example")
        port.refresh()
        async with reaching(place, trusting()) as after:
            assert "new.example" in names(after)
            assert await told(after)
        assert await told(before)


async def test_a_broken_file_keeps_the_old_certificate_and_says_so_until_it_is_good_again(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    words = certificates.put("a", "gw.example", "old.example")
    async with listening(cell(peer), f"127.0.0.1:0 {words}") as (port, [place]):
        key = (certificates.folder / "a.key").read_bytes()
        certificates.put("b", "gw.example")
        (certificates.folder / "b.key").rename(certificates.folder / "a.key")
        for _ in range(3):
            port.refresh()
        (problem,) = port.told(0)["problems"]
        assert "a.key does not belong to its certificate" in problem
        async with reaching(place, trusting()) as client:
            assert "old.example" in names(client)
        (certificates.folder / "a.key").write_bytes(key)
        port.refresh()
        assert port.told(0)["problems"] == []
    assert "PRIVATE" not in caplog.text


def test_a_broken_file_is_logged_once(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper.open(listener(certificates.put("a", "gw.example")))
    (certificates.folder / "a.pem").unlink()
    for _ in range(3):
        keeper.refresh()
    (record,) = caplog.records
    assert "a.pem cannot be read: No such file or directory. The old one serves on." in record.message


async def test_authorities_are_replaced_with_their_file(certificates: Certificates) -> None:
    words = f"{certificates.put('a', 'gw.example')} {certificates.ca}"
    other = trustme.CA()
    async with listening(cell(peer), f"127.0.0.1:0 {words}") as (port, [place]):
        old = trusting(own=AUTHORITY.issue_cert("app.example"))
        async with reaching(place, old) as client:
            assert await told(client)
        other.cert_pem.write_to_path(certificates.folder / "ca.pem")
        port.refresh()
        async with reaching(place, trusting(own=other.issue_cert("app.example"))) as client:
            assert await told(client)
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            async with reaching(place, old) as client:
                await told(client)


def listener(words: str) -> Listener:
    return Listener.model_validate(read(f"127.0.0.1:0 name=public {words}"))


def refusal(words: str) -> str:
    with pytest.raises(CertificateUnusable) as error:
        Keeper.open(listener(words))
    assert "PRIVATE" not in str(error.value)
    return str(error.value)


def test_wrong_files_are_refused_with_their_place_and_the_reason(certificates: Certificates) -> None:
    folder = certificates.folder
    good, other = certificates.put("a", "gw.example"), certificates.put("b", "gw.example")
    assert refusal(good.replace("a.key", "b.key")) == (
        f"listen public: tls.certificates[0].key {folder}/b.key does not belong to its certificate."
    )
    assert "tls.certificates[1].certificate" in refusal(f"{good} {other.replace('b.pem', 'none.pem')}")
    assert "holds no PEM certificate" in refusal(good.replace("a.pem", "a.key"))
    assert "a.pem cannot be used with its certificate" in refusal(good.replace("a.key", "a.pem"))
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "tls.client_ca" in refusal(f"{good} {certificates.ca}")
    (folder / "ca.pem").write_text("")
    assert "tls.client_ca" in refusal(f"{good} {certificates.ca}")
    (folder / "big.pem").write_bytes(b"x" * 1_100_000)
    assert "larger than" in refusal(good.replace("a.pem", "big.pem"))


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_passphrase(certificates: Certificates) -> None:
    words, path = certificates.put("a", "gw.example"), certificates.folder / "a.key"
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )
    assert "is encrypted. Store it without a passphrase" in refusal(words)


def test_a_certificate_with_names_of_a_kind_that_nobody_reads_is_refused(certificates: Certificates) -> None:
    """While the node runs, too: what looks after the files must not end with them."""
    words = certificates.put("a", "gw.example")
    key = load_pem_private_key((certificates.folder / "a.key").read_bytes(), None)
    now, name = datetime.datetime.now(datetime.UTC), x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))  # type: ignore[arg-type]
    x400 = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x02\xa3\x00")
    made = builder.add_extension(x400, critical=False).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    (certificates.folder / "a.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    assert "that can be read" in refusal(words)


def test_an_expired_certificate_is_told(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    """It serves: clients may look away, and a gateway that does not start serves nobody."""
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    made = AUTHORITY.issue_cert("gw.example", not_before=yesterday - datetime.timedelta(days=9), not_after=yesterday)
    words = certificates.put("a", "gw.example")
    made.cert_chain_pems[0].write_to_path(certificates.folder / "a.pem")
    made.private_key_pem.write_to_path(certificates.folder / "a.key")
    keeper = Keeper.open(listener(words))
    for _ in range(3):
        keeper.refresh()
    assert "has expired" in keeper.problem
    assert [record.message for record in caplog.records] == [keeper.problem]
