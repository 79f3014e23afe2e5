"""Caching kinds in chains that were published: every protocol, the guide's tables, and the codecs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway.core.exchange import Head
from gateway.policy.cache import Cache
from gateway.policy.caching.answers import asked, reply
from gateway.policy.caching.control import directives, seconds
from gateway.policy.caching.entry import Entry, Shape
from gateway.policy.caching.idempotency_record import Is, Record
from gateway.policy.caching.rules import State, state, wants
from gateway.policy.idempotency import Idempotency
from gateway.policy.upstream import Upstream
from tests.policy.cache_harness import how
from tests.policy.policy_harness import Gateway
from tests.policy.test_policy_in_routes import published
from tests.snapshot.snapshot_harness import plan

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "caching.md").read_text()
KEY = b"pk_right"
SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop
operations: {get: {effect: safe, fixed: 1, input: {id: string?}, output: int32}}
policies:
  - {id: keys, use: api-key}
  - {use: cache, with: {ttl: 1h, methods: [GET, POST]}}
rest: {GET /a: get, POST /a: get}
soap: {namespace: "urn:shop", operations: [get]}
odata: {operations: [get]}
"""
ENVELOPE = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
    b'<get xmlns="urn:shop"><id>%b</id></get></s:Body></s:Envelope>'
)
XML = (b"Content-Type", b"text/xml; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "target", "body", "field"),
    [
        ("GET", "/shop/a?id=1", b"", None),
        ("POST", "/shop/a", b'{"id": "1"}', (b"Content-Type", b"application/json")),
        ("POST", "/shop/soap", ENVELOPE % b"1", XML),
        ("GET", "/shop/odata/get()", b"", None),
    ],
    ids=["rest", "rest-post", "soap", "odata"],
)
async def test_safe_operations_are_cached_in_every_protocol(
    gateway: Gateway, method: str, target: str, body: bytes, field: tuple[bytes, bytes] | None
) -> None:
    gateway.add_key(KEY)
    gateway.add_key(b"other", "k2", application="other")
    shop = await published(gateway, SHOP, plan("gold"))
    fields = [(b"X-API-KEY", KEY), *([field] if field else [])]
    first = await shop.request(method, target, fields, body)
    second = await shop.request(method, target, fields, body)
    assert (first.status, how(first)) == (200, "fwd=miss; fwd-status=200; stored")
    assert (second.status, how(second), second.body) == (200, "hit", first.body)
    assert second.get(b"content-type") == first.get(b"content-type")
    changed = await shop.request(method, target, fields, body.replace(b"1", b"2")) if body else None
    assert changed is None or not how(changed).startswith("hit")
    refused = await shop.request(method, target, [(b"X-API-KEY", b"pk_wrong"), *fields[1:]], body)
    assert refused.get(b"cache-status") is None


async def test_a_soap_fault_is_not_stored(gateway: Gateway) -> None:
    gateway.add_key(KEY)
    shop = await published(gateway, SHOP, plan("gold"))
    for _ in range(2):
        answer = await shop.request("POST", "/shop/soap", [(b"X-API-KEY", KEY), XML], b"<broken")
        assert answer.status in (400, 500)
        assert not how(answer).startswith("hit")


@pytest.mark.parametrize(("title", "model"), [("cache", Cache), ("idempotency", Idempotency), ("upstream", Upstream)])
def test_every_setting_stands_in_the_guide(title: str, model: type[BaseModel]) -> None:
    section = GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    told = {name for row in re.findall(r"^\| (`[^|]+) \|", section, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert set(model.model_fields) <= told


@given(st.integers(100, 599), st.binary(max_size=50), st.binary(max_size=50), *[st.floats(0, 1e9)] * 5, st.booleans())
def test_an_entry_is_read_as_it_was_written(
    status: int, block: bytes, body: bytes, a: float, b: float, c: float, d: float, e: float, strict: bool
) -> None:
    entry = Entry(status, block, body, a, b, c, d, e, strict)
    assert Entry.read(entry.write()) == entry


@given(st.binary(max_size=100))
def test_bytes_that_are_no_entry_are_none_or_one(text: bytes) -> None:
    Entry.read(text)


@given(st.booleans(), st.lists(st.from_regex(rb"[a-z0-9-]+", fullmatch=True), max_size=5))
def test_a_shape_is_read_as_it_was_written(shared: bool, names: list[bytes]) -> None:
    shape = Shape(shared, tuple(names))
    assert Shape.read(shape.write()) == shape


@given(st.dictionaries(st.from_regex(r"[a-z-]+", fullmatch=True), st.none() | st.integers(0, 10**6), max_size=6))
def test_directives_are_read_as_they_were_written(written: dict[str, int | None]) -> None:
    text = ", ".join(name if value is None else f"{name}={value}" for name, value in written.items())
    found = directives([text.encode()])
    assert found == {name: None if value is None else str(value) for name, value in written.items()}


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_no_directive_breaks_the_reader(values: list[bytes]) -> None:
    found = directives(values)
    assert all((seconds(found, name) or 0) >= 0 for name in found)
    wants(values, [])


@given(
    st.from_regex(rb"[\t -~\x80-\xff]{0,40}", fullmatch=True),
    st.sampled_from([b"Range", b"If-None-Match", b"If-Range"]),
)
def test_no_condition_or_range_breaks_an_answer(value: bytes, name: bytes) -> None:
    entry = Entry(200, b'\r\nETag: "x"', b"0123456789", 0.0, 0.0, 60.0)
    head = Head(b"GET", b"/", block=b"\r\nRange: bytes=0-4\r\n" + name + b": " + value)
    answer = reply(entry, asked(head), b"", 1.0)
    assert answer.status in (200, 206, 304, 416)
    if answer.status == 206:
        assert answer.body
        assert answer.body in entry.body


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_what_is_strict_is_fresh_or_stale(lifetime: float, age: float, now: float) -> None:
    entry = Entry(200, b"", b"", 0.0, age, lifetime, 1e9, 1e9, strict=True)
    found = state(entry, now, wants([b"max-stale"], []))
    assert found is (State.FRESH if entry.age_at(now) < lifetime else State.STALE)


@given(st.sampled_from(Is), st.binary(min_size=32, max_size=32), st.binary(max_size=50))
def test_a_record_is_read_as_it_was_written(kind: Is, fingerprint: bytes, rest: bytes) -> None:
    record = Record(kind, fingerprint, rest)
    assert Record.read(record.write()) == record
