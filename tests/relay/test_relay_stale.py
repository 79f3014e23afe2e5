"""What ends at a bad moment, or goes wrong here, takes no request with it (CASES A58)."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.framing_reply import ReplyHead
from gateway.relay.connection import Connection
from gateway.relay.pool import open_upstream
from tests.serving import cell, talking
from tests.upstreams import OK, always, once, upstream


async def test_a_post_in_the_turn_in_which_the_upstream_closes_goes_over_another_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It could not be sent again: nobody knows what a POST has done."""
    posted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    tasks: list[asyncio.Task[None]] = []
    ended = Connection.eof_received

    async with upstream(once(OK)) as recording:
        backend = open_upstream([recording.url], retries=0)

        async def post() -> None:
            try:
                posted.set_result((await backend.fetch(b"POST", b"/b", body=b"x")).status)
            except Exception as error:
                posted.set_exception(error)

        def ends(connection: Connection) -> None:
            """What is scheduled here runs before the loop tells that the connection is lost."""
            if not tasks:
                tasks.append(asyncio.get_running_loop().create_task(post()))
            ended(connection)

        monkeypatch.setattr(Connection, "eof_received", ends)
        assert (await backend.fetch(b"GET", b"/a")).status == 200
        assert await asyncio.wait_for(posted, 20) == 200
        assert [each.target for each in recording.received] == [b"/a", b"/b"]
        await backend.close()


@pytest.mark.parametrize("response", [OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"])
async def test_a_mistake_of_ours_while_a_response_is_handed_on_leaves_no_client_waiting(
    monkeypatch: pytest.MonkeyPatch, response: bytes
) -> None:
    """Whole responses have given their connection back by then, streamed ones have not."""

    def mistaken(_head: ReplyHead) -> bytes:
        raise KeyError("a mistake")

    monkeypatch.setattr("gateway.relay.hygiene.reply_block", mistaken)
    async with upstream(always(response)) as recording:
        backend = open_upstream([recording.url])
        async with talking(cell(backend.relay(None, ()))) as client:
            for _ in range(2):
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await client.answer())[0] == 502
        await backend.close()
