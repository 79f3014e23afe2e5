"""Bodies that say two things of themselves: what one reader passes as another type, the next takes for a form."""

from __future__ import annotations

import pytest

from gateway.schema.form_scan import FormLimits, scan_multipart
from tests.policy.body_harness import relaying, step

FORM = b"application/x-www-form-urlencoded"
BODY = b"a=1&b=2&c=3"


@pytest.mark.parametrize(
    "said",
    [
        (b"text/plain", FORM),
        (FORM, b"text/plain"),
        (FORM + b", text/plain",),
        (FORM + b" x",),
        (FORM, FORM),
        (b"",),
    ],
)
@pytest.mark.parametrize(
    ("use", "config"),
    [("form-limits", {"fields": 2}), ("json-limits", {"request": {"other_types": "pass"}})],
)
async def test_a_media_type_that_can_be_taken_for_another_never_passes(
    use: str, config: dict[str, object], said: tuple[bytes, ...]
) -> None:
    fields = b"".join(b"Content-Type: " + each + b"\r\n" for each in said)
    head = b"POST /orders HTTP/1.1\r\nHost: a\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(BODY)
    async with relaying(step(use, config)) as gateway:
        gateway.client.send(head + BODY)
        status, _, _ = await gateway.client.answer(b"POST")
        assert (status, gateway.upstream.received) == (415, [])


async def test_another_media_type_passes_where_that_is_said() -> None:
    async with relaying(step("form-limits", {"fields": 2})) as gateway:
        assert (await gateway.request(body=BODY, media_type="text/plain")).status == 200


@pytest.mark.parametrize("said", [b'x=";boundary=fake"; boundary=real', b"boundary=fake; boundary=real"])
def test_of_two_boundaries_none_is_taken(said: bytes) -> None:
    """Behind the end of the one stood any number of fields of the other."""
    field = b'Content-Disposition: form-data; name="a"\r\n\r\nx\r\n'
    body = b"--fake\r\n" + field + b"--fake--\r\n" + (b"--real\r\n" + field) * 5 + b"--real--\r\n"
    found = scan_multipart(body, b"multipart/form-data; " + said, FormLimits(fields=2))
    assert found is not None
    assert found.target == "header.Content-Type"
