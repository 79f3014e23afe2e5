"""Requests that policies make of their own: pooled, bounded in time and size, under the egress list."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import trustme

from gateway.core.egress import Egress
from gateway.relay.certificates import Tls
from gateway.relay.names import FixedResolver, Resolved
from gateway.relay.network import Network
from gateway.relay.outside import DependencyFailed, Outside, parse, trusting
from tests.relay.test_relay_tls import authority, pem, tls_upstream
from tests.upstreams import OK, Conversation, always, once, upstream

__all__ = ["authority"]


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    made = Outside(Network())
    yield made
    await made.close()


async def get(outside: Outside, url: str, **more: object) -> bytes:
    options = {"timeout": 5.0, "limit": 1000, **more}
    return (await outside.fetch("GET", url, **options)).body  # type: ignore[arg-type]


async def test_a_request_arrives_as_it_was_asked_for(outside: Outside) -> None:
    async with upstream() as recording:
        fields = [(b"Content-Type", b"a/b")]
        answer = await outside.fetch(
            "POST", recording.url + "/ask?x=1", fields=fields, body=b"body", timeout=5, limit=100
        )
    (received,) = recording.received
    assert (answer.status, answer.body) == (200, b"ok")
    assert (received.method, received.target, received.body) == (b"POST", b"/ask?x=1", b"body")
    assert (received.get(b"content-type"), received.get(b"user-agent")) == (b"a/b", b"penstock")


async def test_requests_to_one_origin_share_connections(outside: Outside) -> None:
    async with upstream() as recording:
        for path in ("/a", "/b?c", "", "?d"):
            await get(outside, recording.url + path)
    assert recording.connections == 1
    assert [each.target for each in recording.received] == [b"/a", b"/b?c", b"/", b"/?d"]


async def test_a_redirect_is_an_answer_and_is_not_followed(outside: Outside) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    async with upstream(always(moved)) as recording:
        answer = await outside.fetch("GET", recording.url, timeout=5, limit=10)
    assert answer.status == 302
    assert len(recording.received) == 1


async def test_a_silent_service_is_a_failure_within_its_time_and_its_connection_is_closed(outside: Outside) -> None:
    """CASES C49"""
    closed = asyncio.Event()

    async def silent(conversation: Conversation) -> None:
        await conversation.closed()
        closed.set()

    async with upstream(silent) as recording:
        with pytest.raises(DependencyFailed):
            await get(outside, recording.url, timeout=0.05)
        await closed.wait()


async def test_an_answer_that_drips_has_one_time_for_all_of_it(outside: Outside) -> None:
    async def drip(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        await conversation.closed()

    async with upstream(drip) as recording:
        with pytest.raises(DependencyFailed):
            await get(outside, recording.url, timeout=0.05)


@pytest.mark.parametrize("length", [b"Content-Length: 1001\r\n\r\n", b"\r\n"])
async def test_an_oversized_answer_is_a_failure(outside: Outside, length: bytes) -> None:
    """CASES C49"""
    async with upstream(once(b"HTTP/1.1 200 OK\r\n" + length + b"x" * 1001)) as recording:
        with pytest.raises(DependencyFailed):
            await get(outside, recording.url)


async def test_a_service_that_refuses_connections_is_a_failure_that_names_no_address(
    outside: Outside, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "gateway.outside"), pytest.raises(DependencyFailed) as failed:
        await get(outside, "http://127.0.0.1:9/token?secret=planted")
    assert (failed.value.status, failed.value.code) == (503, "dependency_failed")
    assert "127.0.0.1" not in str(failed.value)
    assert "http://127.0.0.1:9/token" in caplog.text
    assert "planted" not in caplog.text


async def test_what_the_egress_list_forbids_is_refused_at_build_and_at_connect() -> None:
    """CASES M73"""
    resolver = FixedResolver({"idp.test": Resolved(("127.0.0.1",), 5)})
    async with upstream() as recording:
        outside = Outside(Network(Egress.parse(["!127.0.0.1"]), resolver))
        with pytest.raises(ValueError, match="forbids"):
            outside.check(recording.url)
        outside.check("http://idp.test/")  # a name: where it leads is known later
        for url in (recording.url, f"http://idp.test:{recording.port}/"):
            with pytest.raises(DependencyFailed):
                await get(outside, url)
        await outside.close()
    assert recording.connections == 0


async def test_a_question_asked_by_post_survives_a_connection_that_went_stale(outside: Outside) -> None:
    async def once_each(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(OK)
        await conversation.head()  # read, and no answer: the connection goes away
        conversation.reset()

    async with upstream(once_each) as recording:
        for _ in range(2):
            answer = await outside.fetch("POST", recording.url, body=b"a", timeout=5, limit=10, repeatable=True)
            assert answer.body == b"ok"
        with pytest.raises(DependencyFailed):
            await outside.fetch("POST", recording.url, body=b"a", timeout=5, limit=10)


async def test_a_cancelled_request_closes_its_connection(outside: Outside) -> None:
    """CASES A60"""
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def silent(conversation: Conversation) -> None:
        await conversation.request()
        arrived.set()
        await conversation.closed()
        closed.set()

    async with upstream(silent) as recording:
        asking = asyncio.create_task(get(outside, recording.url))
        await arrived.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await closed.wait()


async def test_tls_is_verified_by_the_configured_authority_alone(authority: trustme.CA) -> None:
    outside = Outside(Network(resolver=FixedResolver({"idp.test": Resolved(("127.0.0.1",), 5)})))
    tls = trusting(Tls(ca=pem(authority.cert_pem)))
    assert tls is trusting(Tls(ca=pem(authority.cert_pem)))  # else connections would not be shared
    async with tls_upstream(authority, "idp.test") as served:
        url = f"https://idp.test:{served.port}/"
        assert await get(outside, url, tls=tls) == b"ok"
        for other in (None, trusting(Tls(ca=pem(trustme.CA().cert_pem)))):
            with pytest.raises(DependencyFailed):
                await get(outside, url, tls=other)
        await outside.close()


@pytest.mark.parametrize(
    "url",
    ["", "idp.test/x", "ftp://idp.test/", "http://u:p@idp.test/", "http://idp.test/#a", "http://idp.test/a b",
     "http://2130706433/", "http://idp.test\\@evil/", "http://idp.test/\r\nX: y", "http:///x", "unix:relative"],
)  # fmt: skip
async def test_what_is_no_url_is_refused(outside: Outside, url: str) -> None:
    with pytest.raises(ValueError):
        parse(url)
    with pytest.raises(DependencyFailed):
        await get(outside, url)
