"""What an endpoint overrides of how its backend is asked, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.errors import GatewayTimeout
from gateway.core.ids import id_source
from gateway.core.kinds import Built
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Answer, Cut, MemoryWire
from gateway.core.override import Override
from gateway.policy import upstream as kind
from gateway.relay.pool import HttpUpstream, open_upstream
from gateway.relay.settings import Balancing, Breaking
from tests.policy.policy_harness import Gateway, OneChain
from tests.upstreams import OK, Conversation, RecordingUpstream, once, upstream

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
BREAKING = Balancing(breaking=Breaking(failures=1, open=3600.0))


class Relayed:
    """Requests through a relay, with these steps before it."""

    def __init__(self, gateway: Gateway, up: RecordingUpstream, pool: HttpUpstream, *configs: dict[str, Any]) -> None:
        steps = [gateway.build(kind.KIND, config) for config in configs]
        self.gateway = gateway
        self.upstream = up
        self.pool = pool
        self.chain = gateway.chain(*steps, last=pool.relay(None, ()))  # type: ignore[arg-type]
        self.live = LiveCell(OneChain(self.chain), id_source("id"))

    async def ask(self, method: str = "GET", body: bytes = b"", **fields: str) -> Answer:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        async with asyncio.timeout(20):
            return await MemoryWire.request(self.live, method, "/a", named, body)


@contextlib.asynccontextmanager
async def relayed(answering: Any, *configs: dict[str, Any], **settings: Any) -> AsyncIterator[Relayed]:
    async with upstream(answering) as up:
        pool = open_upstream([up.url], **settings)
        yield Relayed(Gateway(), up, pool, *configs)
        await pool.close()


def silent(*first: bytes) -> Any:
    """Sends these pieces, and then nothing more."""

    async def answer(conversation: Conversation) -> None:
        await conversation.request()
        for piece in first:
            conversation.send(piece)
        await conversation.closed()

    return answer


def script(*parts: bytes | None) -> Any:
    """Each request gets the next answer, whatever its connection; None: the connection is reset."""
    left = list(parts)

    async def answer(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            part = left.pop(0)
            if part is None:
                conversation.reset()
                return
            conversation.send(part)

    return answer


@pytest.mark.parametrize("settings", [{}, {"balancing": BREAKING}], ids=["plain", "watched"])
async def test_an_upstream_that_does_not_answer_in_its_time_is_504(settings: dict[str, Any]) -> None:
    async with relayed(silent(), {"timeout": "100ms"}, **settings) as shop:
        answer = await shop.ask()
        assert (answer.status, len(shop.upstream.received)) == (504, 1)
        assert (await shop.upstream.heard())[0].method == b"GET"


async def test_a_request_with_a_body_is_late_once_it_has_left() -> None:
    async with relayed(silent(), {"timeout": "100ms"}) as shop:
        assert (await shop.ask("POST", b"x" * 100_000)).status == 504


async def test_a_longer_time_is_granted() -> None:
    """The connection's own patience does not count."""
    go = asyncio.Event()

    async def answer(conversation: Conversation) -> None:
        await conversation.request()
        await go.wait()
        conversation.send(OK)
        await conversation.closed()

    async with relayed(answer, {"timeout": "1h"}, timeout=0.2) as shop:
        asking = asyncio.create_task(shop.ask())
        other = Relayed(shop.gateway, shop.upstream, shop.pool)
        assert (await other.ask()).status == 504, "who overrides nothing waits as long as the backend says"
        go.set()
        assert (await asking).status == 200


async def test_a_body_that_stands_still_is_cut() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    async with relayed(silent(head), {"idle_timeout": "100ms"}) as shop:
        with pytest.raises(Cut):
            await shop.ask()


async def test_an_event_stream_may_be_silent() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
    go = asyncio.Event()

    async def answer(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(head)
        await go.wait()
        conversation.close()

    async with relayed(answer, {"idle_timeout": "100ms"}) as shop:
        wire = MemoryWire.open(shop.live, "GET", "/a")
        assert await wire.read() == b"data: 1\n\n"
        other = Relayed(shop.gateway, shop.upstream, shop.pool, {"timeout": "150ms"})
        waiting = asyncio.create_task(other.ask())
        await shop.upstream.heard(2)
        go.set()
        assert await wire.rest() == b""
        assert (await waiting).status == 200


async def test_all_of_it_has_a_time() -> None:
    async with relayed(silent(), {"total_timeout": "100ms"}) as shop:
        assert (await shop.ask()).status == 504


@pytest.mark.parametrize(("retries", "status"), [(0, 502), (1, 502), (2, 200)])
async def test_so_many_attempts(retries: int, status: int) -> None:
    async with relayed(script(None, None, OK), {"retries": retries}) as shop:
        assert (await shop.ask()).status == status
        assert len(shop.upstream.received) == retries + 1


async def test_a_status_for_which_a_safe_request_is_sent_again() -> None:
    async with relayed(script(BUSY, OK, BUSY), {"retry_on": [503]}) as shop:
        assert (await shop.ask()).status == 200
        assert (await shop.ask("POST", b"x")).status == 503


@pytest.mark.parametrize("first", [None, BUSY])
async def test_a_post_is_sent_once_unless_its_backend_knows_it(first: bytes | None) -> None:
    """CASES A58"""
    config = {"retry_keyed": "Idempotency-Key", "retry_on": [503]}
    async with relayed(script(first, OK), config) as shop:
        assert (await shop.ask("POST", b"body", Idempotency_Key="k")).status == 200
        assert [each.body for each in shop.upstream.received] == [b"body", b"body"]
    async with relayed(script(first, OK), config) as shop:
        assert (await shop.ask("POST", b"body")).status in (502, 503)
        assert len(shop.upstream.received) == 1
    async with relayed(script(first, OK), {"retry_on": [503]}) as shop:
        assert (await shop.ask("POST", b"body", Idempotency_Key="k")).status in (502, 503)
        assert len(shop.upstream.received) == 1


async def test_a_circuit_can_be_ignored() -> None:
    async with relayed(script(BUSY, OK, BUSY, OK), {"circuit": "ignore"}, balancing=BREAKING) as shop:
        plain = Relayed(shop.gateway, shop.upstream, shop.pool)
        assert [(await plain.ask()).status for _ in range(2)] == [503, 503]
        assert len(shop.upstream.received) == 1, "the circuit is open"
        assert (await shop.ask()).status == 200
        assert (await plain.ask()).status == 503
        assert len(shop.upstream.received) == 2, "and stays so"


async def test_an_inner_step_overrides_what_it_names() -> None:
    async with relayed(once(OK), {"timeout": "1s", "retries": 3}, {"retries": 0}) as shop:
        seen: list[Override] = []
        look = Built(step=lambda exchange: seen.append(exchange.notes[Override]))  # type: ignore[index]
        configs: Any = ({"timeout": "1s", "retries": 3}, {"retries": 0})
        steps = [shop.gateway.build(kind.KIND, config) for config in configs]
        chain = shop.gateway.chain(*steps, look, last=shop.pool.relay(None, ()))  # type: ignore[arg-type]
        await MemoryWire.request(LiveCell(OneChain(chain), id_source("id")), "GET", "/a")
        assert seen == [Override(timeout=1.0, retries=0)]


@pytest.mark.parametrize("settings", [{}, {"balancing": BREAKING}], ids=["plain", "watched"])
async def test_a_typed_call_has_its_own_time(settings: dict[str, Any]) -> None:
    async with upstream(silent()) as up:
        pool = open_upstream([up.url], **settings)
        with pytest.raises(GatewayTimeout):
            await pool.fetch(b"GET", b"/a", override=Override(timeout=0.1))
        await pool.close()


async def test_a_typed_call_is_sent_again_where_its_backend_knows_it() -> None:
    async with upstream(script(None, OK)) as up:
        pool = open_upstream([up.url])
        override = Override(keyed=b"idempotency-key")
        answer = await pool.fetch(b"POST", b"/a", [(b"Idempotency-Key", b"k")], b"x", override=override)
        assert answer.status == 200
        await pool.close()


async def test_nothing_is_left_behind() -> None:
    """CASES A60"""
    async with relayed(once(OK), {"timeout": "1h", "idle_timeout": "1h", "total_timeout": "1h"}) as shop:
        assert (await shop.ask()).status == 200
        wire = MemoryWire.open(shop.live, "GET", "/a")
        await asyncio.sleep(0)
        wire.disconnect()
        network = shop.pool._rotation.network
        assert not [each for each in network.deadlines._timed if "Watched" in type(each).__name__]
        assert shop.pool._rotation.active == 0


@pytest.mark.parametrize("config", [{}, {"timeout": "0s"}, {"retries": 11}, {"retry_on": [200]}, {"circuit": "open"}])
def test_a_configuration_that_means_nothing_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.Upstream.model_validate(config)
