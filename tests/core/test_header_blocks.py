"""Raw header blocks: fields are found and dropped by their names in whatever case, and no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.headers import dropper, finder, parse
from gateway.relay import hygiene

NAMES = ("te", "tea", "trailer", "x-own", "x-owner", "^odd", "proxy", "proxy-connection", "x", "0-rtt", "host", "hosts")


@st.composite
def blocks(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.sampled_from(NAMES), max_size=8))
    cased = ["".join(draw(st.sampled_from((letter, letter.upper()))) for letter in name) for name in names]
    return b"".join(f"\r\n{name}: host: {number}".encode() for number, name in enumerate(cased))


@given(blocks(), st.frozensets(st.sampled_from(NAMES), min_size=1))
def test_what_is_dropped_is_what_bears_one_of_the_names(block: bytes, names: frozenset[str]) -> None:
    wanted = frozenset(name.encode() for name in names)
    assert parse(dropper(wanted)(block)) == [field for field in parse(block) if field[0] not in wanted]


@given(blocks(), st.sampled_from(NAMES))
def test_what_is_found_is_what_bears_the_name(block: bytes, name: str) -> None:
    assert finder(name.encode())(block) == [value for key, value in parse(block) if key == name.encode()]


@given(blocks())
def test_what_a_relay_never_passes_on_is_dropped_in_whatever_case(block: bytes) -> None:
    never = {b"te", b"trailer", b"proxy", b"proxy-connection", b"host"}
    passed = hygiene._dropper(frozenset((b"x-own",)))(b"", block)
    assert parse(passed) == [field for field in parse(block) if field[0] not in never | {b"x-own"}]
