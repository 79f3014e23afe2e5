"""`message-size`: refused early, counted while it streams, and the limit of steps that need a body whole."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.bodies import BodyLimits
from gateway.policy.message_size import MessageSize, size
from tests.policy.body_harness import relaying, response, step
from tests.policy.test_bodies import SHOUT, read
from tests.upstreams import always

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@pytest.mark.parametrize(("text", "count"), [("1MB", 10**6), ("1 MiB", 2**20), (7, 7), ("64KB", 64_000), ("0", 0)])
def test_sizes_are_written_with_units(text: Any, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("config", [{}, {"limit": "big"}, {"limit": "-1"}, {"limit": "1mb"}, {"response": 1.5}])
def test_what_is_no_size_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MessageSize.model_validate(config)


async def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent() -> None:
    async with relaying(step("message-size", {"limit": 10})) as relay:
        assert (await relay.request(body=b"x" * 10)).status == 200
        relay.client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
        status, _, body = await relay.client.answer()
    assert (status, b"at most 10 bytes" in body) == (413, True)
    assert len(relay.upstream.received) == 1


async def test_a_chunked_body_is_counted_as_it_passes_and_not_held() -> None:
    async def gated(conversation: Any) -> None:
        received = await conversation.head()
        arrived.set_result(await conversation.reader.readuntil(b"12345\r\n"))
        await conversation.closed()
        assert received.get(b"transfer-encoding") == b"chunked"

    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    async with relaying(step("message-size", {"limit": 10}), answering=gated) as relay:
        relay.client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
        assert await asyncio.wait_for(arrived, 10) == b"5\r\n12345\r\n"
        relay.client.send(b"6\r\n123456\r\n")
        status, _, _ = await relay.client.answer()
    assert status == 413


async def test_a_body_within_the_limit_keeps_its_framing() -> None:
    async with relaying(step("message-size", {"limit": 10, "response": 10})) as relay:
        answered = await relay.request(body=b"x" * 10)
        await relay.request(body=chunks(b"12345", b"67890"), Transfer_Encoding="chunked")
    first, second = relay.upstream.received
    assert (first.get(b"content-length"), first.get(b"transfer-encoding")) == (b"10", None)
    assert (second.body, second.get(b"transfer-encoding")) == (b"1234567890", b"chunked")
    assert answered.fields[b"content-length"] == b"2"


async def test_a_response_that_says_it_is_too_long_is_502() -> None:
    async with relaying(step("message-size", {"response": 10}), answering=always(response(b"x" * 11))) as relay:
        answered = await relay.request("GET")
    assert (answered.status, answered.problem["code"]) == (502, "bad_gateway")


async def test_a_chunked_response_that_becomes_too_long_is_cut_where_the_client_can_tell() -> None:
    answer = CHUNKED + chunks(b"x" * 6, b"x" * 6)

    async def slowly(conversation: Any) -> None:
        await conversation.request()
        conversation.send(answer[: len(CHUNKED) + 11])
        await go.wait()
        conversation.send(answer[len(CHUNKED) + 11 :])

    go = asyncio.Event()
    async with relaying(step("message-size", {"response": 10}), answering=slowly) as relay:
        relay.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        status, _ = await relay.client.head()
        go.set()
        rest = await relay.client.rest()
    assert (status, rest.endswith(b"0\r\n\r\n")) == (200, False)


async def test_it_is_the_limit_of_steps_that_read_the_body_up_to_what_the_node_allows() -> None:
    seen: list[bytes] = []
    limits = BodyLimits(100, 1000)
    for allowed, passes, refused in (("50", 50, 51), ("500", 500, 501), ("5000", 1000, 1001)):
        async with relaying(
            step("message-size", {"limit": allowed}), step("read"), kinds=[read(seen)], limits=limits
        ) as relay:
            assert (await relay.request(body=b"x" * passes)).status == 200
            framed = chunks(b"x" * refused)
            assert (await relay.request(body=framed, Transfer_Encoding="chunked")).status == 413
    assert [len(body) for body in seen] == [50, 500, 1000]


async def test_it_is_the_limit_of_steps_that_read_the_reply() -> None:
    limits = BodyLimits(100, 1000)
    sized = step("message-size", {"response": 500})
    for count, status in ((499, 200), (501, 502)):
        answering = always(CHUNKED + chunks(b"x" * count))
        async with relaying(sized, step("shout"), kinds=[SHOUT], limits=limits, answering=answering) as relay:
            assert (await relay.request("GET")).status == status


async def test_of_two_the_narrower_counts_also_where_steps_read_the_body() -> None:
    steps = [step("message-size", {"limit": 20}, "outer"), step("message-size", {"limit": 500}, "inner"), step("read")]
    seen: list[bytes] = []
    async with relaying(*steps, kinds=[read(seen)]) as relay:
        assert (await relay.request(body=chunks(b"x" * 21), Transfer_Encoding="chunked")).status == 413
    assert seen == []


async def test_a_step_whose_condition_does_not_hold_limits_nothing() -> None:
    conditional = step("message-size", {"limit": 5, "response": 1}, when={"header": {"X-Small": "1"}})
    async with relaying(conditional) as relay:
        assert (await relay.request(body=b"x" * 6)).status == 200
        assert (await relay.request(body=b"x" * 6, X_Small="1")).status == 413
