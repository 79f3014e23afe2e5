"""`form-limits`, and the ranges of `message-size`, before a relay (CASES B55)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bodies import BodyLimits
from gateway.schema.form_scan import FormLimits, scan_multipart, scan_urlencoded
from tests.policy.body_harness import relaying, step

FORM = "application/x-www-form-urlencoded"
MULTI = "multipart/form-data; boundary=b0"


def part(name: str, value: bytes = b"v", file: str = "") -> bytes:
    filename = f'; filename="{file}"' if file else ""
    return f'--b0\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode() + value + b"\r\n"


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b0--\r\n"


@pytest.mark.parametrize(
    ("config", "body", "place"),
    [
        ({"fields": 2}, b"a=1&b=2&c=3", "$"),
        ({"name": 3}, b"abcd=1", "$"),
        ({"value": 3}, b"a=1&b=1234", "$.b"),
        ({}, b"&".join([b"a=1"] * 200_000), "$"),
    ],
)
async def test_a_form_beyond_the_limits_is_400(config: dict[str, Any], body: bytes, place: str) -> None:
    async with relaying(step("form-limits", config), limits=BodyLimits(10_000_000)) as relay:
        answered = await relay.request(body=body, media_type=FORM)
    assert (answered.status, answered.places, relay.upstream.received) == (400, [place], [])


@pytest.mark.parametrize(
    ("config", "body", "place"),
    [
        ({"fields": 1}, multipart(part("a"), part("b")), "$"),
        ({"files": 1}, multipart(part("a", file="a.txt"), part("b", file="b.txt")), "$"),
        ({"value": 3}, multipart(part("a", b"1234")), "$.a"),
        ({"file": 3}, multipart(part("a", b"1234", "a.txt")), "$.a"),
        ({"name": 3}, multipart(part("abcd")), "$"),
        ({"head": 64}, multipart(part("a" * 100)), "$"),
        ({}, part("a"), "$"),
        ({}, b"--b0\r\n\r\nv\r\n--b0--\r\n", "$"),
        ({}, b"none", "$"),
        ({}, b"--b0\r\n" * 100_000, "$"),
        ({}, multipart(*[part("a")] * 10_000), "$"),
    ],
)
async def test_a_multipart_form_beyond_the_limits_is_400(config: dict[str, Any], body: bytes, place: str) -> None:
    async with relaying(step("form-limits", config), limits=BodyLimits(10_000_000)) as relay:
        answered = await relay.request(body=body, media_type=MULTI)
    assert (answered.status, answered.places, relay.upstream.received) == (400, [place], [])


async def test_a_form_within_the_limits_goes_on_and_so_does_what_is_no_form() -> None:
    body = multipart(part("a", b"\r\n--b\r\n"), part("f", b"x" * 1000, "f.bin"))
    async with relaying(step("form-limits")) as relay:
        for media_type, sent in ((FORM, b"a=1&b="), (MULTI, body), (MULTI.replace("b0", '"b0"'), body), ("a/b", b"x")):
            assert (await relay.request(body=sent, media_type=media_type)).status == 200
    assert relay.upstream.received[1].body == body
    async with relaying(step("form-limits", {"other_types": "refuse"})) as relay:
        assert (await relay.request(body=b"{}")).status == 415


names = st.text(alphabet="abc", max_size=5)


@given(st.lists(st.tuples(names, names), max_size=8))
def test_the_scan_of_a_form_counts_as_its_writer_does(pairs: list[tuple[str, str]]) -> None:
    limits = FormLimits(fields=4, name=3, value=3)
    body = "&".join(f"{name}={value}" for name, value in pairs).encode()
    sound = len(pairs) <= 4 and all(len(name) <= 3 and len(value) <= 3 for name, value in pairs)
    assert (scan_urlencoded(body, limits) is None) == sound


@given(st.lists(st.tuples(names, st.binary(max_size=5), st.booleans()), max_size=6))
def test_the_scan_of_a_multipart_form_counts_as_its_writer_does(parts: list[tuple[str, bytes, bool]]) -> None:
    limits = FormLimits(fields=4, files=2, name=3, value=3, file=4)
    body = multipart(*(part(name, value, "f" if file else "") for name, value, file in parts))
    sound = len(parts) <= 4 and sum(file for _, _, file in parts) <= 2
    sound = sound and all(len(name) <= 3 and len(value) <= (4 if file else 3) for name, value, file in parts)
    assert (scan_multipart(body, MULTI.encode(), limits) is None) == sound


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_judged(body: bytes) -> None:
    scan_multipart(body, MULTI.encode(), FormLimits())
    scan_multipart(multipart(body), MULTI.encode(), FormLimits())


async def test_a_flood_of_ranges_is_refused() -> None:
    async with relaying(step("message-size", {"ranges": 3})) as relay:
        assert (await relay.request("GET", Range="bytes=0-0,2-2,4-4")).status == 200
        answered = await relay.request("GET", Range="bytes=" + ",".join(["0-0"] * 5000))
    assert (answered.status, answered.problem["target"]) == (400, "header.Range")
