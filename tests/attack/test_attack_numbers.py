"""Numbers that are short as they are written, and endless written out."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.schema.json_loads import loads
from tests.policy.body_harness import relaying, step


@pytest.mark.parametrize("text", [b"1e-999999", b"-0.001E-1000", b"[1e-1001]", b"0." + b"1" * 5_000])
def test_a_number_that_would_be_endless_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput):
        loads(text)


@pytest.mark.parametrize("text", [b"0e-999", b"0.000", b"-0.0e+5", b"5e-324", b"1e-1000"])
def test_nought_and_the_smallest_are_numbers(text: bytes) -> None:
    assert float(loads(text)) == float(text)


async def test_a_schema_is_never_asked_about_a_number_of_a_million_digits() -> None:
    """100 kB of it held a thread for half a minute: each was written out for the message, a million digits long."""
    body = b"[" + b",".join([b"1e-999999"] * 9_000) + b"]"
    async with relaying(step("json-schema", {"request": {"schema": {"type": "object"}}})) as gateway:
        answer = await gateway.request(body=body)
    assert (answer.status, answer.places) == (400, ["$"])
    assert "smaller than what can be held" in str(answer.problem)
