"""Where WebSocket frames end, however they are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from gateway.core.frames import Frames, close_frame

LENGTHS = st.one_of(st.integers(0, 8), st.integers(120, 130), st.integers(65_530, 65_540))
FRAMES = st.lists(st.tuples(st.sampled_from([0x0, 0x1, 0x2, 0x9, 0xA]), st.booleans(), LENGTHS), max_size=6)
CUTS = st.lists(st.integers(1, 70_000), max_size=12)


def wire(opcode: int, masked: bool, length: int) -> bytes:
    size = min(length, 125) if opcode & 8 else length  # of a control frame
    return Frame(Opcode(opcode), b"x" * size).serialize(mask=masked)


def cut_up(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def ends(frames: list[bytes]) -> set[int]:
    """The places between two frames."""
    places, at = {0}, 0
    for frame in frames:
        at += len(frame)
        places.add(at)
    return places


@given(FRAMES, CUTS)
def test_it_knows_after_every_read_whether_a_frame_is_under_way(
    parts: list[tuple[int, bool, int]], sizes: list[int]
) -> None:
    frames = [wire(*part) for part in parts]
    between, at, tracked = ends(frames), 0, Frames()
    for piece in cut_up(b"".join(frames), sizes):
        tracked.feed(piece)
        at += len(piece)
        assert tracked.between == (at in between)
    assert not tracked.closing


@given(FRAMES, st.integers(0, 200_000))
def test_the_next_place_between_two_frames_is_found(parts: list[tuple[int, bool, int]], fed: int) -> None:
    frames = [wire(*part) for part in parts]
    data = b"".join(frames)
    fed = min(fed, len(data))
    tracked = Frames()
    tracked.feed(data[:fed])
    later = [place for place in ends(frames) if place >= fed]
    expected = min(later) - fed if later else -1
    assert tracked.cut(data[fed:]) == expected
    assert tracked.between == (expected >= 0)


@given(FRAMES, CUTS, st.booleans())
def test_a_close_frame_is_seen_once_it_is_complete(
    parts: list[tuple[int, bool, int]], sizes: list[int], masked: bool
) -> None:
    data = b"".join(wire(*part) for part in parts) + close_frame(1000, "bye", masked)
    tracked = Frames()
    for piece in cut_up(data[:-1], sizes):
        tracked.feed(piece)
    assert not tracked.closed
    tracked.feed(data[-1:])
    assert tracked.closing
    assert tracked.closed


@given(st.lists(st.binary(max_size=40)))
def test_what_is_no_websocket_does_no_harm(pieces: list[bytes]) -> None:
    tracked = Frames()
    for piece in pieces:
        tracked.feed(piece)
    tracked.cut(b"x" * 100)


def test_our_close_frames_are_read_by_others() -> None:
    for side, masked in ((CLIENT, False), (SERVER, True)):
        reader = Protocol(side)
        reader.receive_data(close_frame(1008, "no longer valid", masked))
        assert reader.close_rcvd is not None
        assert (reader.close_rcvd.code, reader.close_rcvd.reason) == (1008, "no longer valid")


def test_a_header_of_a_huge_frame_costs_no_memory() -> None:
    tracked = Frames()
    tracked.feed(b"\x82\x7f" + (1 << 62).to_bytes(8))
    for _ in range(100):
        tracked.feed(b"x" * 65_536)
    assert not tracked.between
    assert tracked._header == b""
