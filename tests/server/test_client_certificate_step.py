"""`client-certificate` behind a TLS listener: the certificate of the connection says who calls."""

from __future__ import annotations

import ssl
from pathlib import Path

import orjson
import pytest
import trustme

from gateway.core.exchange import Exchange, Reply
from gateway.policy import client_certificate
from tests.policy.policy_harness import Gateway
from tests.server.ports import AUTHORITY, Certificates, listening, reaching, trusting
from tests.serving import Client, cell

LOOP = "uvloop"  # of the workers: its TLS is not the standard library's
RULES = [{"name": "DNS:app.example", "application": "partner"}]


def who(exchange: Exchange) -> Reply:
    assert exchange.identity is not None
    return Reply(200, body=orjson.dumps([exchange.identity.application, exchange.identity.method]))


async def asked(client: Client, field: bytes = b"") -> tuple[int, bytes]:
    client.send(b"GET / HTTP/1.1\r\nHost: gw.example\r\n" + field + b"\r\n")
    status, _, body = await client.answer()
    return status, body


@pytest.mark.parametrize(("name", "status"), [("app.example", 200), ("other.example", 401), (None, 401)])
async def test_the_certificate_of_the_connection_says_who_calls(tmp_path: Path, name: str | None, status: int) -> None:
    certificates = Certificates(tmp_path)
    step = Gateway().build(client_certificate.KIND, {"certificates": RULES}).step
    assert step is not None
    words = f"{certificates.put('a', 'gw.example')} {certificates.ca} client_auth=optional"
    own: trustme.LeafCert | None = AUTHORITY.issue_cert(name) if name else None
    context: ssl.SSLContext = trusting(own=own)
    async with listening(cell(step, who), f"127.0.0.1:0 {words}") as (_, [place]), reaching(place, context) as client:
        found, body = await asked(client, b"Client-Cert: :AAAA:\r\n")
        assert found == status
        if status == 200:
            assert orjson.loads(body) == ["partner", "client-certificate"]
