"""Compressors of replies (RFC 9110 section 8.4): gzip, br, zstd, each in pieces and in little memory. Loaded only
where a step compresses."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Final

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Piece = Callable[[bytes, bool, bool], bytes]  # (data, it is the last, send what there is)

_WINDOW: Final = 19  # bits: half a megabyte for each br or zstd reply under way
LARGE: Final = 262_144  # bytes of a body from which the fastest level is used


def gzip(large: bool) -> Piece:
    compressor = zlib.compressobj(1 if large else 5, zlib.DEFLATED, 31)

    def compress(data: bytes, last: bool, flush: bool) -> bytes:
        out = compressor.compress(data) if data else b""
        if last:
            return out + compressor.flush()
        return out + compressor.flush(zlib.Z_SYNC_FLUSH) if flush else out

    return compress


def br(large: bool) -> Piece:
    compressor = brotli.Compressor(quality=1 if large else 4, lgwin=_WINDOW)

    def compress(data: bytes, last: bool, flush: bool) -> bytes:
        out: bytes = compressor.process(data) if data else b""
        if last:
            return out + bytes(compressor.finish())
        return out + bytes(compressor.flush()) if flush else out

    return compress


def zstandard(large: bool) -> Piece:
    level, window = zstd.CompressionParameter.compression_level, zstd.CompressionParameter.window_log
    compressor: Any = zstd.ZstdCompressor(options={level: 1 if large else 3, window: _WINDOW})

    def compress(data: bytes, last: bool, flush: bool) -> bytes:
        out: bytes = compressor.compress(data) if data else b""
        if last:
            return out + bytes(compressor.flush())
        return out + bytes(compressor.flush(compressor.FLUSH_BLOCK)) if flush else out

    return compress


CODINGS: Final[dict[str, Callable[[bool], Piece]]] = {"gzip": gzip, "br": br, "zstd": zstandard}
