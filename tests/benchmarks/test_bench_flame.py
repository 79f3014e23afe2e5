"""Collapsed stacks become a flame graph."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks import flame

STACKS = [
    "main (run.py);loop (uv.so);take (gateway/server/protocol.py) 6",
    "main (run.py);loop (uv.so);take (gateway/server/protocol.py);frame (gateway/core/framing.py) 3",
    "watch (gateway/server/launch.py);read (libc.so) 90",
]


def test_a_frame_counts_what_it_called() -> None:
    root = flame.fold(STACKS)
    assert root.count == 99
    assert root.inner["main (run.py)"].count == 9


def test_only_stacks_that_pass_through_the_loop_are_kept_from_there_on() -> None:
    root = flame.fold(STACKS, inside=("loop",))
    assert root.count == 9
    assert list(root.inner) == ["take (gateway/server/protocol.py)"]


def test_noise_of_native_unwinding_is_left_out() -> None:
    assert list(flame.fold(["0x7f66;Py_DECREF (libpython.so);take (a.py) 1"]).inner) == ["take (a.py)"]


def test_frames_too_narrow_to_see_are_left_out() -> None:
    assert list(flame.prune(flame.fold(STACKS), 10).inner) == ["watch (gateway/server/launch.py)"]


def test_the_picture_is_well_formed_and_names_every_frame() -> None:
    root = ElementTree.fromstring(flame.draw(flame.fold(["a<b> (x.py);c (y.py) 1"]), "A & B"))
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["all: 100.0%", "a<b> (x.py): 100.0%", "c (y.py): 100.0%"]
