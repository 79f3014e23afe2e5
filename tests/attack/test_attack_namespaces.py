"""Namespaces of an element: a stylesheet that copies it took seconds for tens of thousands of them."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput
from gateway.policy.content import xml_reading


def _declaring(count: int, before: bytes = b"") -> bytes:
    return b"<a " + before + b" ".join(b'xmlns:n%x="u%x"' % (number, number) for number in range(count)) + b"/>"


@pytest.mark.parametrize("before", [b"", b'x=">" '])
def test_an_element_with_too_many_namespaces_is_refused(before: bytes) -> None:
    with pytest.raises(InvalidInput, match="64 namespaces"):
        xml_reading.parse(_declaring(65, before))


def test_many_elements_may_declare_the_same() -> None:
    assert len(xml_reading.parse(b"<a>" + b'<b xmlns="u"/>' * 1_000 + b"</a>")) == 1_000


def test_as_many_as_are_allowed_pass() -> None:
    assert len(xml_reading.parse(_declaring(64)).nsmap) == 64
