"""A refusal reaches the client in every protocol, whatever headers a process gave it."""

from __future__ import annotations

import pytest

from gateway.core.chain import Chain
from gateway.core.errors import Problem
from gateway.core.exchange import Exchange, Head, Renderer
from gateway.frontend.odata import errors
from gateway.frontend.rest import problems
from gateway.frontend.soap.faults import Faults
from gateway.schema.types import Types


class Broken(Problem):
    status, title = 409, "Broken"


RENDERERS = [problems.render, errors.render, Faults("urn:test", {}, Types()).render]


@pytest.mark.parametrize("render", RENDERERS, ids=["rest", "odata", "soap"])
def test_a_header_that_could_break_the_message_is_left_out(render: Renderer) -> None:
    """CASES F22"""
    problem = Broken("no", headers=[(b"X-Bad", b"a\r\nSet-Cookie: b"), (b"X-Good", b"1")])
    exchange = Exchange("id", Head(b"POST", b"/"), None, Chain("test", (), render))  # type: ignore[arg-type]
    reply = render(exchange, problem)
    assert reply.get(b"x-bad") is None
    assert reply.get(b"x-good") == b"1"
    assert b"no" in (reply.body or b"")
