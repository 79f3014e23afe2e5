"""Content codings of bodies (RFC 9110 section 8.4), undone within bounds: gzip, deflate, br (RFC 7932) and zstd (RFC
8878).

One coding at a time: codings of codings are how bombs are built. What comes out is bounded in size and in proportion to
what came in, and is made in slices, so that memory never holds more than what the bound allows (CASES B55).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.core import headers

RATIO: Final = 100  # times what came in; below FREE bytes nobody counts
FREE: Final = 1_048_576
SLICE: Final = 65_536  # bytes that come out at once
_FEED: Final = 16_384  # bytes that go in at once: what a library leaves over is copied
_MEMBERS: Final = 16  # of one gzip stream (RFC 1952 section 2.2)
_WINDOW_LOG: Final = 23  # zstd: 8 MB, what RFC 8878 section 3.1.1.1.2 asks of everybody
_MODULES: Final = {b"br": "brotli", b"zstd": "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"}

_find: Final = headers.finder(b"content-encoding")


class CodingRefused(ValueError):
    """A body that is not decoded. The text says why."""


class UnknownCoding(CodingRefused):
    """A coding that is not undone here, or more than one."""


class Oversized(CodingRefused):
    """More comes out than may."""


class Damaged(CodingRefused):
    """The bytes are not what their coding says."""


def coding_of(block: bytes) -> bytes | None:
    """The one coding of a message with this header block; None: the body is as it is. Raises UnknownCoding."""
    values = _find(block)
    if not values:
        return None
    names = [name for value in values for name in value.lower().replace(b" ", b"").split(b",") if name]
    codings = [name for name in names if name != b"identity"]
    if not codings:
        return None
    if len(codings) > 1:
        raise UnknownCoding("The body has more than one content coding. Send it with one, or with none.")
    name = codings[0].removeprefix(b"x-") if codings[0] == b"x-gzip" else codings[0]
    if name not in _SLICES:
        said = name[:40].decode("latin-1")
        raise UnknownCoding(f"The content coding {said!r} is not known here. Known are gzip, deflate, br and zstd.")
    return name


class Decoding:
    """One body on its way out of its coding. `run` goes on, and may be called from any thread, one at a time."""

    def __init__(self, data: bytes, coding: bytes, limit: int) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._most = max(FREE, len(data) * RATIO)
        self._slices = _SLICES[coding](data)
        self.ready = coding not in _MODULES or _MODULES[coding] in sys.modules  # its library is loaded

    def run(self, budget: int | None = None) -> bool:
        """Decodes until all is there (True), or `budget` bytes more have come out. Raises CodingRefused."""
        stop = None if budget is None else self._size + budget
        for piece in self._slices:
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > self._limit:
                self._pieces.clear()  # the error may be held for a while, and with it what stands here
                raise Oversized(f"The body may have at most {self._limit} bytes once it is decoded.")
            if self._size > self._most:
                self._pieces.clear()
                raise Oversized(f"The body grows to more than {RATIO} times its size when it is decoded.")
            if stop is not None and self._size >= stop:
                return False
        return True

    def result(self) -> bytes:
        return b"".join(self._pieces)

    def finish(self) -> bytes:
        self.run()
        return self.result()


def _fed(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), _FEED):
        yield data[at : at + _FEED]


def _gzip(data: bytes) -> Iterator[bytes]:
    """One member, or a few behind one another (RFC 1952 section 2.2)."""
    inflating, members = zlib.decompressobj(31), 1
    for fed in _fed(data):
        piece = fed
        while piece:
            if inflating.eof:
                members += 1
                if members > _MEMBERS:
                    raise Damaged(f"The gzip body has more than {_MEMBERS} members.")
                inflating = zlib.decompressobj(31)
            yield from _inflated(inflating, piece)
            piece = inflating.unused_data
    if not inflating.eof:
        raise Damaged("The gzip body ends too early.")


def _deflate(data: bytes) -> Iterator[bytes]:
    """The zlib format (RFC 1950), as RFC 9110 section 8.4.1.2 has it."""
    inflating = zlib.decompressobj(15)
    for piece in _fed(data):
        if inflating.eof:
            raise Damaged("More bytes follow the deflate body.")
        yield from _inflated(inflating, piece)
    if not inflating.eof or inflating.unused_data:
        raise Damaged("The deflate body does not end where its bytes do.")


def _inflated(inflating: Any, piece: bytes) -> Iterator[bytes]:
    while piece:
        try:
            out = inflating.decompress(piece, SLICE)
        except zlib.error:
            raise Damaged("The body is not what its Content-Encoding says.") from None
        if out:
            yield out
        piece = inflating.unconsumed_tail
        if not piece and len(out) == SLICE and not inflating.eof:
            yield from _rest(inflating)


def _rest(inflating: Any) -> Iterator[bytes]:
    """What all of the input has given, and the library still holds."""
    while out := inflating.decompress(b"", SLICE):
        yield out


def _brotli(data: bytes) -> Iterator[bytes]:
    import brotli

    decoding = brotli.Decompressor()
    for piece in _fed(data):
        yield from _drawn(lambda given: decoding.process(given, output_buffer_limit=SLICE), piece, brotli.error)
    if not decoding.is_finished():
        raise Damaged("The br body ends too early.")


def _zstd(data: bytes) -> Iterator[bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    decoding = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
    for piece in _fed(data):
        if decoding.eof:
            raise Damaged("More bytes follow the zstd body.")
        yield from _drawn(lambda given: _more(decoding, given), piece, zstd.ZstdError)
    if not decoding.eof or decoding.unused_data:
        raise Damaged("The zstd body does not end where its bytes do.")


def _more(decoding: Any, piece: bytes) -> bytes:
    out: bytes = b"" if decoding.eof else decoding.decompress(piece, SLICE)
    return out


def _drawn(decode: Callable[[bytes], bytes], piece: bytes, wrong: type[Exception]) -> Iterator[bytes]:
    """What a piece gives, slice by slice, until nothing more comes of it."""
    while True:
        try:
            out = decode(piece)
        except wrong:
            raise Damaged("The body is not what its Content-Encoding says.") from None
        if not out:
            return
        yield out
        piece = b""


_SLICES: Final[dict[bytes, Callable[[bytes], Iterator[bytes]]]] = {
    b"gzip": _gzip,
    b"deflate": _deflate,
    b"br": _brotli,
    b"zstd": _zstd,
}
