"""Frames between a worker and a policy host, however they are cut."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.frames import BadFrame, Frames, pack

MESSAGES = st.lists(
    st.tuples(st.dictionaries(st.text(max_size=5), st.integers(-9, 9), max_size=3), st.binary(max_size=40)), max_size=5
)


@given(MESSAGES, st.data())
def test_frames_survive_every_cut(messages: list[tuple[dict[str, int], bytes]], data: st.DataObject) -> None:
    raw = b"".join(pack(message, body) for message, body in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    frames = Frames(limit=40)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += list(frames.feed(raw[start:end]))
    assert found == messages


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack(">II", 2**20 + 1, 0),
        struct.pack(">II", 2, 41) + b"{}",
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", 2, 0) + b"{x",
    ],
)
def test_what_is_no_frame_ends_the_connection(raw: bytes) -> None:
    with pytest.raises(BadFrame):
        list(Frames(limit=40).feed(raw))
