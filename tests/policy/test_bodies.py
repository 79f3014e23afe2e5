"""Steps that read and replace whole bodies, before a relay: what the upstream and the client get."""

from __future__ import annotations

import asyncio
import gzip
import threading
from typing import Any

import brotli
import pytest
from pydantic import BaseModel

from gateway.core import chain as chains
from gateway.core.errors import Conflict
from gateway.core.exchange import Exchange, Reply
from gateway.core.kinds import Kind, Stage
from gateway.core.off_loop import off_loop
from gateway.core.outgoing import Outgoing
from tests.policy.body_harness import LIMIT, Relaying, built, relaying, response, step
from tests.upstreams import always


class Nothing(BaseModel):
    """No settings."""


def kind(name: str, step: Any = None, after: Any = None) -> Kind[Any]:
    """A kind that reads the request's body, if it has a step, and the reply's, if it has an after."""
    stage = Stage.HEAD if step is None else Stage.BODY
    return Kind(name, Nothing, built(step, after), stage, Stage.HEAD if after is None else Stage.BODY)


def read(into: list[bytes]) -> Kind[Any]:
    return kind("read", lambda exchange: into.append(exchange.body or b""))


def replace(exchange: Exchange) -> None:
    exchange.replace_body(b"<order/>", b"application/xml")


def shout(_exchange: Exchange, reply: Reply) -> None:
    assert reply.body is not None
    reply.replace_body(reply.body.upper() + b"!", b"text/loud")


SHOUT = kind("shout", after=shout)


# requests


async def test_a_replaced_body_reaches_the_upstream_with_its_own_length_and_type() -> None:
    async with relaying(step("xml"), kinds=[kind("xml", replace)]) as relay:
        fields = {"Content_MD5": "x", "Content_Digest": "sha-256=:x:", "Repr_Digest": "sha-256=:x:", "Digest": "x"}
        assert (await relay.request(body=b'{"a": 1}', **fields)).status == 200
    (received,) = relay.upstream.received
    assert received.body == b"<order/>"
    assert received.all(b"content-length") == [b"8"]
    assert received.all(b"content-type") == [b"application/xml"]
    assert not {b"content-md5", b"content-digest", b"repr-digest", b"digest"} & {name for name, _ in received.fields}


async def test_a_type_that_an_earlier_step_set_gives_way_to_the_new_bodys() -> None:
    sets = step("headers", {"request": {"set": {"Content-Type": "text/early", "X-Kept": "1"}}})
    async with relaying(sets, step("xml"), kinds=[kind("xml", replace)]) as relay:
        await relay.request(body=b"{}")
    (received,) = relay.upstream.received
    assert (received.all(b"content-type"), received.get(b"x-kept")) == ([b"application/xml"], b"1")


async def test_a_chunked_body_that_is_replaced_is_sent_counted() -> None:
    async with relaying(step("xml"), kinds=[kind("xml", replace)]) as relay:
        await relay.request(body=b"2\r\n{}\r\n0\r\n\r\n", Transfer_Encoding="chunked")
    (received,) = relay.upstream.received
    assert (received.body, received.get(b"transfer-encoding")) == (b"<order/>", None)


async def test_a_body_may_be_taken_away_and_given() -> None:
    def swap(exchange: Exchange) -> None:
        exchange.replace_body(b"" if exchange.body else b"given", b"text/plain")

    async with relaying(step("swap"), kinds=[kind("swap", swap)]) as relay:
        await relay.request("PUT", b"there")
        await relay.request("PUT", b"")
    assert [(each.body, each.get(b"content-length")) for each in relay.upstream.received] == [
        (b"", b"0"),
        (b"given", b"5"),
    ]


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_a_coded_body_is_read_and_forwarded_decoded(coding: str) -> None:
    seen: list[bytes] = []
    coded = gzip.compress(b"plain " * 100) if coding == "gzip" else brotli.compress(b"plain " * 100)
    async with relaying(step("read"), kinds=[read(seen)]) as relay:
        assert (await relay.request(body=coded, Content_Encoding=coding, Content_Digest="x")).status == 200
    (received,) = relay.upstream.received
    assert seen == [received.body] == [b"plain " * 100]
    assert (received.get(b"content-encoding"), received.get(b"content-digest")) == (None, None)
    assert received.get(b"content-length") == b"600"


async def test_a_coded_body_that_no_step_reads_is_passed_on_as_it_is() -> None:
    coded = gzip.compress(b"plain")
    async with relaying(step("anonymous")) as relay:
        await relay.request(body=coded, Content_Encoding="gzip")
    (received,) = relay.upstream.received
    assert (received.body, received.get(b"content-encoding")) == (coded, b"gzip")


BOMB = gzip.compress(bytes(30_000_000))


@pytest.mark.parametrize(
    ("body", "coding", "status", "code"),
    [
        (BOMB, "gzip", 413, "content_too_large"),
        (gzip.compress(b"x" * (LIMIT + 1)), "gzip", 413, "content_too_large"),
        (gzip.compress(gzip.compress(b"x")), "gzip, gzip", 415, "unsupported_media_type"),
        (b"x", "rot13", 415, "unsupported_media_type"),
        (b"no gzip", "gzip", 400, "bad_request"),
    ],
    ids=["bomb", "above the limit", "nested", "unknown", "damaged"],
)
async def test_what_cannot_be_decoded_within_bounds_reaches_nobody(
    body: bytes, coding: str, status: int, code: str
) -> None:
    """CASES B55"""
    seen: list[bytes] = []
    async with relaying(step("read"), kinds=[read(seen)]) as relay:
        answered = await relay.request(body=body, Content_Encoding=coding)
    assert (answered.status, answered.problem["code"]) == (status, code)
    assert (seen, relay.upstream.received) == ([], [])


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_413_and_never_skips_the_step(chunked: bool) -> None:
    """CASES H38"""
    seen: list[bytes] = []
    body = b"x" * (LIMIT + 1)
    async with relaying(step("read"), kinds=[read(seen)]) as relay:
        if chunked:
            framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            answered = await relay.request(body=framed, Transfer_Encoding="chunked")
        else:
            answered = await relay.request(body=body)
    assert (answered.status, seen, relay.upstream.received) == (413, [], [])


# replies


async def one(relay: Relaying, method: str = "GET", **fields: str) -> Any:
    return await relay.request(method, **fields)


async def test_a_replaced_reply_keeps_its_fields_consistent() -> None:
    lines = ['ETag: "1"', "Content-MD5: x", "Digest: x", "Repr-Digest: x", "Accept-Ranges: bytes", "X-Kept: 1"]
    async with relaying(step("shout"), kinds=[SHOUT], answering=always(response(b"ok", *lines))) as relay:
        answered = await one(relay)
    assert answered.body == b"OK!"
    assert answered.fields[b"content-length"] == b"3"
    assert answered.fields[b"etag"] == b'W/"1"'
    assert (answered.fields[b"content-type"], answered.fields[b"x-kept"]) == (b"text/loud", b"1")
    assert not {b"content-md5", b"digest", b"repr-digest", b"accept-ranges"} & answered.fields.keys()


async def test_the_upstream_is_asked_for_the_whole_response_without_a_coding() -> None:
    async with relaying(step("shout"), kinds=[SHOUT]) as relay:
        await one(relay, Accept_Encoding="gzip, br", Range="bytes=0-3", If_Range='"1"')
    (received,) = relay.upstream.received
    assert received.all(b"accept-encoding") == [b"identity"]
    assert (received.get(b"range"), received.get(b"if-range")) == (None, None)


async def test_a_response_that_is_coded_all_the_same_is_decoded() -> None:
    coded = response(gzip.compress(b"ok" * 200_000), "Content-Encoding: gzip")
    async with relaying(step("shout"), kinds=[SHOUT], answering=always(coded)) as relay:
        answered = await one(relay)
    assert answered.status == 502
    small = response(gzip.compress(b"ok" * 2000), "Content-Encoding: gzip")
    async with relaying(step("shout"), kinds=[SHOUT], answering=always(small)) as relay:
        answered = await one(relay)
    assert (answered.body, answered.fields.get(b"content-encoding")) == (b"OK" * 2000 + b"!", None)


@pytest.mark.parametrize(
    "answer",
    [
        response(BOMB, "Content-Encoding: gzip"),
        response(b"x", "Content-Encoding: rot13"),
        response(b"x", "Content-Encoding: gzip, br"),
        response(b"x" * (LIMIT + 1)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (LIMIT + 1, b"x" * (LIMIT + 1)),
        response(b"data: 1\n\n", media_type="text/event-stream"),
        response(b"x", "Content-Range: bytes 0-0/2", status="206 Partial Content"),
    ],
    ids=["bomb", "unknown", "nested", "too large", "too large, chunked", "event stream", "part"],
)
async def test_a_response_that_cannot_be_read_whole_is_502_and_never_skips_the_step(answer: bytes) -> None:
    """CASES B55, H38"""
    async with relaying(step("shout"), kinds=[SHOUT], answering=always(answer)) as relay:
        answered = await one(relay)
    assert (answered.status, b"BAD_GATEWAY" in answered.body) == (502, True)  # the problem itself was read by the step


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 No Content")]
)
async def test_a_reply_without_a_body_is_read_by_nobody(method: str, status: str) -> None:
    head = f'HTTP/1.1 {status}\r\nETag: "1"\r\nContent-MD5: x\r\n\r\n'.encode()
    async with relaying(step("shout"), kinds=[SHOUT], answering=always(head)) as relay:
        answered = await one(relay, method)
    assert answered.status == int(status[:3])
    assert (answered.fields[b"etag"], b"content-md5" in answered.fields) == (b'W/"1"', False)
    assert b"content-type" not in answered.fields


async def test_a_step_that_is_skipped_costs_no_collecting() -> None:
    conditional = step("shout", when={"header": {"X-Loud": "1"}})
    answer = response(b"x" * (LIMIT + 1), 'ETag: "1"')
    async with relaying(conditional, kinds=[SHOUT], answering=always(answer)) as relay:
        answered = await one(relay, Range="bytes=0-", Accept_Encoding="gzip")
        assert (answered.status, answered.fields[b"etag"], len(answered.body)) == (200, b'"1"', LIMIT + 1)
        assert (await one(relay, X_Loud="1")).status == 502
    assert relay.upstream.received[0].get(b"range") == b"bytes=0-"
    assert relay.upstream.received[0].get(b"accept-encoding") == b"gzip"


async def test_an_after_may_work_off_the_loop_and_the_others_wait_for_it() -> None:
    order: list[str] = []

    async def slow(_exchange: Exchange, reply: Reply) -> None:
        name = await off_loop(lambda: threading.current_thread().name)
        order.append(name[:8])
        reply.replace_body((reply.body or b"") + b" slow")

    def quick(_exchange: Exchange, reply: Reply) -> None:
        order.append("quick")
        reply.replace_body((reply.body or b"") + b" quick")

    kinds = [kind("outer", after=quick), kind("inner", after=slow)]
    async with relaying(step("outer"), step("inner"), kinds=kinds, answering=always(response(b"ok"))) as relay:
        answered = await one(relay)
    assert (order, answered.body) == (["off-loop", "quick"], b"ok slow quick")
    assert answered.fields[b"content-length"] == b"13"


async def test_a_problem_that_an_after_raises_later_is_the_reply() -> None:
    async def refuse(exchange: Exchange, _reply: Reply) -> None:
        await asyncio.sleep(0)
        if exchange.problem is None:
            raise Conflict("no")

    async with relaying(step("refuse"), kinds=[kind("refuse", after=refuse)]) as relay:
        answered = await one(relay)
    assert (answered.status, answered.problem["code"]) == (409, "conflict")


async def test_a_client_that_leaves_while_an_after_waits_ends_the_wait() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(_exchange: Exchange, _reply: Reply) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with relaying(step("hang"), kinds=[kind("hang", after=hang)]) as relay:
        relay.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(begun.wait(), 10)
        await relay.client.close()
        await asyncio.wait_for(ended.wait(), 10)


async def test_an_exchange_that_fails_while_an_after_waits_is_refused_once() -> None:
    waiting: list[Exchange] = []
    begun = asyncio.Event()

    async def hang(exchange: Exchange, _reply: Reply) -> None:
        if exchange.problem is None:
            waiting.append(exchange)
            begun.set()
            await asyncio.Event().wait()

    def tell(_exchange: Exchange, reply: Reply) -> None:
        reply.add(b"X-Outer", b"1")

    kinds = [kind("outer", after=tell), kind("hang", after=hang)]
    async with relaying(step("outer"), step("hang"), kinds=kinds) as relay:
        relay.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(begun.wait(), 10)
        chains.fail(waiting[0], Conflict("no"))
        status, fields, body = await relay.client.answer()
        assert (status, fields[b"x-outer"], b"conflict" in body) == (409, b"1", True)
        assert waiting[0].notes is not None
        assert Outgoing not in waiting[0].notes
