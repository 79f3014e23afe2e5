"""Framing as pure functions: any split of the bytes gives the same result."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import target
from gateway.core.errors import BadGateway, BadRequest, HeadTooLarge, Problem
from gateway.core.framing import Decided, Framed, HeadReader, frame
from gateway.core.framing_body import Chunked, Counted, UntilClose
from gateway.core.framing_reply import ReplyHead, frame_reply
from gateway.core.live import Limits

LIMITS = Limits()
TOKEN = st.text("!#$%&'*+-.^`|~0129AZaz", min_size=1, max_size=12).map(str.encode)
VALUE = st.binary(max_size=40).map(lambda raw: bytes(byte for byte in raw if byte == 9 or 32 <= byte != 127))
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=8).map(
    lambda fields: [field for field in fields if field[0].lower() not in {b"te", b"host"}]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    fields = draw(FIELDS)
    block = b"".join(b"\r\n" + name + b": " + value for name, value in fields)
    path = draw(st.text("abcXYZ019-._~;,=", min_size=1, max_size=20)).strip(".").encode()
    return b"POST /" + path + b" HTTP/1.1\r\nHost: a.example:80" + block + b"\r\n\r\n"


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if end > start]


CUTS = st.lists(st.integers(0, 10_000), max_size=12)


def read(pieces: list[bytes]) -> tuple[Framed | None, bytes]:
    """The head and the bytes behind it, of pieces read in turn."""
    reader = HeadReader(LIMITS)
    for index, piece in enumerate(pieces):
        framed = reader.feed(piece)
        if framed is not None:
            return framed, reader.data[framed[2] :] + b"".join(pieces[index + 1 :])
    return None, b""


def facts(framed: Framed) -> tuple[object, ...]:
    head, decided, _ = framed
    return (
        head.method,
        head.path,
        head.query,
        head.block,
        head.host,
        head.length,
        decided.close,
        decided.expects,
    )


@given(heads(), CUTS, st.binary(max_size=20), st.integers(0, 3))
def test_any_split_of_a_head_gives_the_same_head(head: bytes, cuts: list[int], rest: bytes, empty_lines: int) -> None:
    data = b"\r\n" * empty_lines + head + rest
    whole, behind = read([data])
    parts, behind_parts = read(split(data, cuts))
    assert whole is not None
    assert parts is not None
    assert facts(whole) == facts(parts)
    assert behind == behind_parts == rest


def refusal(function: Callable[..., object], *arguments: object) -> Problem | None:
    """The Problem that a call raises, if it does."""
    try:
        function(*arguments)
    except Problem as problem:
        return problem
    return None


def _refused(pieces: list[bytes]) -> bool:
    return refusal(read, pieces) is not None


@given(st.binary(max_size=60), CUTS)
def test_any_split_of_a_broken_head_is_refused_alike(noise: bytes, cuts: list[int]) -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + noise + b"\r\n\r\n"
    assert _refused([data]) == _refused(split(data, cuts))


@given(st.binary(max_size=200))
def test_bytes_are_framed_refused_or_awaited_and_nothing_else_happens(data: bytes) -> None:
    refused = refusal(frame, data, LIMITS)
    assert refused is None or (refused.detail and refused.status in {400, 405, 414, 417, 431, 505})


def test_a_head_that_never_ends_is_refused_at_the_limit() -> None:
    """CASES F17, F24"""
    reader = HeadReader(LIMITS)
    reader.feed(b"GET / HTTP/1.1\r\n")
    for _ in range(65):
        assert reader.feed(b"A: " + b"x" * 995 + b"\r\n") is None
    with pytest.raises(HeadTooLarge):
        reader.feed(b"A: " + b"x" * 995 + b"\r\n")


def test_fields_with_an_underscore_are_dropped() -> None:
    """CASES H34"""
    framed = frame(b"GET / HTTP/1.1\r\nHost: a\r\nX_Api_Key: evil\r\nA: b_c\r\n_: x\r\n\r\n", LIMITS)
    assert framed is not None
    assert framed[0].fields == [(b"host", b"a"), (b"a", b"b_c")]


@pytest.mark.parametrize("host", [b"a", b"a.example:8080", b"127.0.0.1", b"[::1]:80", b"my_service"])
def test_a_host_with_an_optional_port_is_taken(host: bytes) -> None:
    framed = frame(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", LIMITS)
    assert framed is not None
    assert framed[0].host == host


@pytest.mark.parametrize("host", [b"", b"a b", b"a:b", b"a@b", b"a,b", b"[::1", b"a:123456", b"\xc3\xa4"])
def test_a_malformed_host_is_refused(host: bytes) -> None:
    """CASES F12"""
    with pytest.raises(BadRequest):
        frame(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", LIMITS)


def test_an_absolute_target_of_the_same_host_is_taken_as_its_path() -> None:
    """CASES F14"""
    assert target.split(b"http://A.example/x?y=1", b"a.example") == (b"/x", b"y=1")
    assert target.split(b"http://a.example", b"a.example") == (b"/", b"")


SERVED = b"/ /a /a/ /A /a;x=1/b /.well-known/x /a..b /... /%20 /%C3%A4 /a%0a".split()
REFUSED = (
    *b"/.. /. /a/./b /a/.. /%2e%2e/a /.%2E/a /a/..;x /a/%2e;/b // /a// /%2F /%5C /%00 /% /%4 /%zz".split(),
    *b'/%61 /%7E /%2D /%39 /%5a /%C0%AE /%ff /%ED%A0%80 /\\ /" /< /^ /` /{ /|'.split(),
    *(b"/a b", b"/\xc3\xa4", b"/\x7f"),
)


@pytest.mark.parametrize("path", SERVED)
def test_a_path_that_is_served_is_kept_byte_for_byte(path: bytes) -> None:
    """CASES P27, P28"""
    assert target.split(path + b"?q=%00//..", b"a") == (path, b"q=%00//..")


@pytest.mark.parametrize("path", REFUSED)
def test_a_path_that_servers_read_in_different_ways_is_refused(path: bytes) -> None:
    """CASES P26, P27, P29"""
    with pytest.raises(BadRequest) as refused:
        target.split(path, b"a")
    assert refused.value.detail


@given(st.text(max_size=20))
def test_a_path_is_either_refused_or_kept(text: str) -> None:
    path = b"/" + text.encode()
    if b"?" in path or b"#" in path:
        return
    refused = refusal(target.split, path, b"a")
    assert refused is not None or target.split(path, b"a") == (path, b"")


@st.composite
def chunked_messages(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A payload and a chunked form of it."""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=6))
    extension = draw(st.sampled_from([b"", b";x", b";a=b", b';q="a;b"']))
    raw = b"".join(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    trailer = draw(st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: 1\r\nB: 2\r\n"]))
    return b"".join(pieces), raw + b"000\r\n" + trailer + b"\r\n"


def scan(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    scanner = Chunked(BadRequest)
    out: list[bytes] = []
    for index, piece in enumerate(pieces):
        end = scanner.feed(piece, out)
        if end >= 0:
            return b"".join(out), piece[end:] + b"".join(pieces[index + 1 :])
    return b"".join(out), None


@given(chunked_messages(), CUTS, st.binary(max_size=10))
def test_any_split_of_a_chunked_body_gives_the_same_payload(
    message: tuple[bytes, bytes], cuts: list[int], rest: bytes
) -> None:
    payload, raw = message
    assert scan(split(raw + rest, cuts)) == (payload, rest)


def _scan_refused(pieces: list[bytes]) -> bool:
    return refusal(scan, pieces) is not None


@given(st.binary(max_size=30), CUTS)
def test_any_split_of_a_broken_chunked_body_is_refused_alike(noise: bytes, cuts: list[int]) -> None:
    raw = b"3\r\nabc\r\n" + noise + b"\r\n\r\n"
    assert _scan_refused([raw]) == _scan_refused(split(raw, cuts))


@pytest.mark.parametrize("line", [b"1;" + b"x" * 3000 + b"\r\na\r\n", b"0\r\n" + b"A: " + b"x" * 3000 + b"\r\n"])
def test_extensions_and_trailers_are_bounded_in_total(line: bytes) -> None:
    """CASES F10, F11"""
    scanner = Chunked(BadRequest)
    scanner.feed(line, [])
    with pytest.raises(BadRequest):
        scanner.feed(line[3:] if line[:1] == b"0" else line, [])


@given(st.binary(max_size=40), st.integers(0, 40), CUTS)
def test_a_counted_body_ends_where_its_length_says(data: bytes, length: int, cuts: list[int]) -> None:
    scanner, out, at = Counted(length), [], 0
    for piece in split(data, cuts):
        end = scanner.feed(piece, out)
        at += len(piece) if end < 0 else end
        if end >= 0:
            break
    assert b"".join(out) == data[:length]
    assert at == min(length, len(data))
    assert scanner.left == length - at


@given(st.binary(max_size=100))
def test_a_response_head_is_framed_refused_or_awaited(noise: bytes) -> None:
    """CASES F23"""
    refused = refusal(frame_reply, b"HTTP/1.1 200 OK\r\n" + noise + b"\r\n\r\n")
    assert refused is None or isinstance(refused, BadGateway)


@pytest.mark.parametrize(
    ("head", "method", "keep", "body"),
    [
        (b"HTTP/1.1 200\r\nContent-Length: 3", b"GET", True, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close", b"GET", False, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3", b"GET", False, True),
        (b"HTTP/1.1 200 OK", b"GET", False, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3", b"HEAD", True, False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3", b"GET", True, False),
        (b"HTTP/1.1 204 No Content", b"GET", True, False),
    ],
)
def test_a_response_tells_its_body_and_whether_its_connection_goes_on(
    head: bytes, method: bytes, keep: bool, body: bool
) -> None:
    framed = frame_reply(head + b"\r\n\r\n")
    assert framed is not None
    scanner = framed.scanner(method)
    assert (framed.keep and not isinstance(scanner, UntilClose), scanner is not None) == (keep, body)


REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"


@given(st.binary(max_size=40), st.integers(0, len(REPLY)))
def test_what_a_connection_remembers_of_a_response_changes_no_decision(noise: bytes, cut: int) -> None:
    remembered = frame_reply(REPLY)
    data = REPLY[:cut] + noise + REPLY[cut:]

    def told(last: ReplyHead | None) -> object:
        framed = frame_reply(data, last)
        return framed and (framed.status, framed.block, framed.length, framed.chunked, framed.keep, framed.end)

    assert outcome(told, remembered) == outcome(told, None)


REQUEST = b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"


@given(
    st.binary(max_size=40), st.integers(0, len(REQUEST)), st.sampled_from([b"", b"POST /b HTTP/1.0", b"put / HTTP/1.1"])
)
def test_what_a_connection_remembers_of_a_request_changes_no_decision(noise: bytes, cut: int, line: bytes) -> None:
    first = frame(REQUEST, LIMITS)
    assert first is not None
    data = REQUEST[:cut] + noise + REQUEST[cut:]
    if line:
        data = line + data[data.find(b"\r\n") :]

    def told(last: Decided | None) -> object:
        framed = frame(data, LIMITS, last)
        return framed and (*facts(framed), framed[2])

    assert outcome(told, first[1]) == outcome(told, None)


def outcome(function: Callable[[Any], object], argument: object) -> object:
    """What a call returns, or the kind and text of its refusal."""
    try:
        return function(argument)
    except Problem as problem:
        return type(problem), problem.detail
