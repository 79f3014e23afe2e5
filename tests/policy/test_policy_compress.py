"""`compress` before a relay, over real sockets."""

from __future__ import annotations

import gzip
from typing import Any

import brotli
import pytest

from gateway.policy.content.accept_encoding import choose
from tests.policy.body_harness import relaying, response, step
from tests.upstreams import always

BODY = b'{"text":"' + b"plain " * 1000 + b'"}'


def decoded(coding: bytes, body: bytes) -> bytes:
    import sys

    if coding == b"br":
        return bytes(brotli.decompress(body))
    if coding == b"gzip":
        return gzip.decompress(body)
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return bytes(zstd.decompress(body))


async def asked(
    *lines: str, accept: str = "gzip, br", body: bytes = BODY, config: Any = None, method: str = "GET", **more: Any
) -> Any:
    answering = always(response(body, *lines, **more))
    async with relaying(step("compress", config), answering=answering) as relay:
        fields = {"Accept_Encoding": accept} if accept else {}
        return await relay.request(method, **fields)


@pytest.mark.parametrize(
    ("accept", "coding"),
    [("gzip", b"gzip"), ("gzip, br", b"br"), ("br;q=0.5, gzip", b"gzip"), ("*", b"zstd"), ("zstd", b"zstd")],
)
async def test_a_reply_is_compressed_as_the_client_takes_it(accept: str, coding: bytes) -> None:
    answer = await asked('ETag: "1"', "Vary: Origin", accept=accept)
    assert answer.fields[b"content-encoding"] == coding
    assert decoded(coding, answer.body) == BODY
    assert len(answer.body) < 400
    assert answer.fields[b"etag"] == b'W/"1"'
    assert b"accept-encoding" in answer.fields[b"vary"].lower()


@pytest.mark.parametrize(
    "accept", ["", "identity", "gzip;q=0", "rot13", "identity, gzip;q=0.5", "br;q=0, gzip;q=0.0, *;q=0"]
)
async def test_a_client_that_takes_no_coding_gets_the_body_as_it_is_with_its_length(accept: str) -> None:
    answer = await asked('ETag: "1"', accept=accept)
    assert (answer.body, answer.fields.get(b"content-encoding"), answer.fields[b"etag"]) == (BODY, None, b'"1"')
    assert answer.fields[b"content-length"] == b"%d" % len(BODY)
    assert answer.fields[b"vary"] == b"Accept-Encoding"


@pytest.mark.parametrize(
    ("lines", "more"),
    [
        (["Cache-Control: public, no-transform"], {}),
        (["Content-Encoding: rot13"], {}),
        (["Content-Range: bytes 0-9/20"], {"status": "206 Partial Content"}),
        ([], {"media_type": "image/png"}),
        ([], {"body": b'{"a":1}'}),
    ],
)
async def test_what_must_not_or_need_not_be_compressed_is_left_as_it_is(lines: list[str], more: dict[str, Any]) -> None:
    answer = await asked(*lines, **more)
    assert answer.body == more.get("body", BODY)
    assert answer.fields[b"content-length"] == b"%d" % len(answer.body)


async def test_a_reply_to_head_is_left_as_it_is() -> None:
    answer = await asked(method="HEAD")
    assert (answer.body, answer.fields.get(b"content-encoding")) == (b"", None)


async def test_a_reply_that_a_step_behind_reads_is_compressed_after_it() -> None:
    answering = always(response(BODY))
    async with relaying(step("compress"), step("body", {"response": {"set": {"/b": 1}}}), answering=answering) as relay:
        answer = await relay.request("GET", Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == BODY[:-1] + b',"b":1}'


async def test_lines_leave_as_they_come() -> None:
    """A stream of lines is flushed at each piece: the first can be read before the last was written."""
    import zlib

    from gateway.policy.content.content_codings import CODINGS

    piece = CODINGS["gzip"](False)
    assert zlib.decompressobj(31).decompress(piece(b'{"a":1}\n', False, True)) == b'{"a":1}\n'


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_pieces_are_compressed_in_little_memory(coding: str) -> None:
    from gateway.policy.content.content_codings import CODINGS

    piece = CODINGS[coding](False)
    pieces = [piece(b"%d" % at * 5000, False, False) for at in range(200)]
    whole = b"".join([*pieces, piece(b"", True, False)])
    assert decoded(coding.encode(), whole) == b"".join(b"%d" % at * 5000 for at in range(200))
    assert max(map(len, pieces)) < 600_000


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        (b"gzip", b"gzip"),
        (b"GZIP", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"gzip;q=0.5, br;q=0.6", b"br"),
        (b"*;q=0.1", b"br"),
        (b"br;q=0, *", b"gzip"),
        (b"gzip;q=2", None),
        (b"gzip;q=", None),
        (b"identity;q=1, gzip;q=0.9", None),
        (b"identity;q=0, gzip;q=0.1", b"gzip"),
        (b",,;", None),
        (b"", None),
        (b"a," * 10_000, None),
    ],
)
def test_the_coding_is_chosen_by_weight(value: bytes, chosen: bytes | None) -> None:
    """RFC 9110 section 12.5.3"""
    assert choose(value, (b"br", b"gzip")) == chosen
