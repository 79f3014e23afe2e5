"""Content codings, undone within bounds (CASES B55)."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.coding import FREE, RATIO, Damaged, Decoding, Oversized, UnknownCoding, coding_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": lambda data: brotli.compress(data, quality=3),
    b"zstd": zstd.compress,
}
each_coding = pytest.mark.parametrize("coding", CODERS)


def decoded(data: bytes, coding: bytes, limit: int = 10_000_000) -> bytes:
    return Decoding(data, coding, limit).finish()


@each_coding
@given(data=st.binary(max_size=2000), times=st.integers(1, 90))
def test_what_was_coded_comes_out_again(coding: bytes, data: bytes, times: int) -> None:
    assert decoded(CODERS[coding](data * times), coding) == data * times


@each_coding
def test_large_bodies_come_out_in_slices_and_may_be_gone_on_with(coding: bytes) -> None:
    data = b"".join(b"%d " % (number * number) for number in range(100_000))
    decoding = Decoding(CODERS[coding](data), coding, len(data))
    assert not decoding.run(100_000)
    assert decoding.run()
    assert decoding.result() == data


@each_coding
def test_a_bomb_is_refused_by_its_proportion_long_before_it_is_whole(coding: bytes) -> None:
    bomb = CODERS[coding](bytes(50_000_000))
    decoding = Decoding(bomb, coding, 100_000_000)
    with pytest.raises(Oversized, match=f"{RATIO} times"):
        decoding.run()
    assert len(decoding.result()) <= max(FREE, len(bomb) * RATIO) + 200_000


@each_coding
def test_more_than_the_limit_is_refused(coding: bytes) -> None:
    coded = CODERS[coding](b"abc" * 1000)
    assert len(decoded(coded, coding, 3000)) == 3000
    with pytest.raises(Oversized, match="2999 bytes"):
        decoded(coded, coding, 2999)


@each_coding
@given(data=st.binary(min_size=1, max_size=300), cut=st.integers(1, 8))
def test_a_body_that_is_cut_is_damaged(coding: bytes, data: bytes, cut: int) -> None:
    coded = CODERS[coding](data)
    with pytest.raises(Damaged):
        decoded(coded[:-cut], coding)


@each_coding
def test_bytes_behind_the_body_are_damage(coding: bytes) -> None:
    for rest in (b"x", b"x" * 40_000):
        with pytest.raises(Damaged):
            decoded(CODERS[coding](b"abc") + rest, coding)


@each_coding
@given(data=st.binary(max_size=200))
def test_bytes_of_any_kind_are_decoded_or_refused(coding: bytes, data: bytes) -> None:
    try:
        decoded(data, coding)
    except (Damaged, Oversized):
        return


def test_a_gzip_body_may_have_a_few_members_and_not_a_flood_of_them() -> None:
    assert decoded(gzip.compress(b"a") + gzip.compress(b"b"), b"gzip") == b"ab"
    with pytest.raises(Damaged, match="members"):
        decoded(gzip.compress(b"") * 20_000, b"gzip")


@pytest.mark.parametrize(
    ("values", "found"),
    [((), None), ((b"identity",), None), ((b"GZIP",), b"gzip"), ((b"x-gzip",), b"gzip"), ((b"identity, br",), b"br")],
)
def test_the_coding_of_a_message(values: tuple[bytes, ...], found: bytes | None) -> None:
    assert coding_of(b"".join(b"\r\nContent-Encoding: " + value for value in values)) == found


@pytest.mark.parametrize("values", [(b"gzip, gzip",), (b"gzip", b"br"), (b"compress",), (b"x-br",), (b"gzip;q=1",)])
def test_nested_and_unknown_codings_are_refused(values: tuple[bytes, ...]) -> None:
    with pytest.raises(UnknownCoding):
        coding_of(b"".join(b"\r\nContent-Encoding: " + value for value in values))
