"""Many tiny chunks take a short way through the scanner, which reads them as the long one does."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.core.framing_body import Chunked


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.lists(st.integers(1, 400), max_size=8), st.booleans()
)
def test_chunks_of_any_size_are_read_alike_however_they_arrive(
    payloads: list[bytes], cuts: list[int], upper: bool
) -> None:
    """CASES F9"""
    form = b"%X\r\n%b\r\n" if upper else b"%x\r\n%b\r\n"
    message = b"".join(form % (len(payload), payload) for payload in payloads) + b"0\r\n\r\nNEXT"
    places = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    scanner, end, ended = Chunked(BadRequest), -1, 0
    out: list[bytes] = []
    for start, stop in pairwise(places):
        if end < 0:
            end = scanner.feed(message[start:stop], out)
            ended = start + end
    assert b"".join(out) == b"".join(payloads)
    assert message[ended:] == b"NEXT"


@pytest.mark.parametrize(
    "wire", [b"1\r\nxy\r\n", b"2\r\nx\r\n\r\n", b"1\nx\r\n", b"1\r\nx\n", b"1\r\nx\r\n-1\r\n", b"1\r\n\r\n\r\nx"]
)
def test_a_tiny_chunk_that_does_not_end_where_it_says_is_refused(wire: bytes) -> None:
    """CASES F9"""
    with pytest.raises(BadRequest):
        Chunked(BadRequest).feed(b"1\r\na\r\n" + wire, [])
