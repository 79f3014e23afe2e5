"""Idempotency keys: what is sent again is done once, and nobody gets another's reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.chain import Chain
from gateway.core.errors import BadGateway, Forbidden, GatewayTimeout, Unavailable
from gateway.core.exchange import Exchange, Reply
from gateway.core.identity import Identity
from gateway.core.ids import id_source
from gateway.core.kinds import Built
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Answer, Cut, MemoryWire
from gateway.live.chains import buffer
from gateway.policy import idempotency
from gateway.relay.pool import open_upstream
from gateway.store.cells import Written, ignored
from gateway.store.connect import open_cells
from gateway.store.memory_cells import MemoryCells
from tests.policy.policy_harness import Gateway, OneChain, json_of
from tests.relay.upstream_harness import until
from tests.upstreams import Conversation, upstream


@pytest.fixture
def late(gateway: Gateway) -> Gateway:
    """With cells that release when they are told to."""
    gateway.cells = LateCells(gateway.clock)
    return gateway


class Shop:
    """`asked` counts what reached the backend; `reply` makes what it answers."""

    def __init__(self, gateway: Gateway, last: Any = None, behind: Any = None, **config: Any) -> None:
        self.gateway = gateway
        self.asked = 0
        self.made: Any = lambda: Reply(201, [(b"Location", b"/orders/%d" % self.asked)], b"%d" % self.asked)
        self.held: asyncio.Event | None = None
        built = gateway.build(idempotency.KIND, config)
        steps = [Built(step=_identify), Built(step=buffer(1_000_000)), built]
        steps += [behind] if behind is not None else []
        self.chain: Chain = gateway.chain(*steps, last=last or self._backend)
        self.live = LiveCell(OneChain(self.chain), id_source("id"), gateway.clock)

    def _backend(self, _exchange: Exchange) -> Any:
        self.asked += 1
        return self.made() if self.held is None else self._wait()

    async def _wait(self) -> Reply:
        assert self.held is not None
        await self.held.wait()
        reply: Reply = self.made()
        return reply

    async def post(
        self, key: str | None = "k1", body: bytes = b"one", method: str = "POST", target: str = "/orders", **fields: str
    ) -> Answer:
        return await MemoryWire.request(self.live, method, target, _fields(key, fields), body)


def _fields(key: str | None, fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return named if key is None else [(b"Idempotency-Key", key.encode()), *named]


def _identify(exchange: Exchange) -> None:
    who = exchange.head.get(b"x-test-user")
    if who is not None:
        user, _, application = who.decode().partition("/")
        exchange.identity = Identity(user, "test", application=application or None)


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, json_of(answer)["code"]


async def test_a_retry_gets_the_reply_of_the_first(gateway: Gateway) -> None:
    shop = Shop(gateway)
    first, second = await shop.post(), await shop.post()
    assert (first.status, second.status, shop.asked) == (201, 201, 1)
    assert (second.body, second.get(b"location")) == (b"1", b"/orders/1")
    assert (first.get(b"idempotency-replayed"), second.get(b"idempotency-replayed")) == (None, b"true")


async def test_another_worker_knows(gateway: Gateway) -> None:
    one, other = Shop(gateway), Shop(gateway)
    await one.post()
    assert (await other.post()).body == b"1"
    assert other.asked == 0


async def test_a_key_written_as_a_string_is_the_same(gateway: Gateway) -> None:
    shop = Shop(gateway)
    await shop.post("k1")
    assert (await shop.post('"k1"')).body == b"1"


@pytest.mark.parametrize("other", [{"body": b"two"}, {"method": "PATCH"}, {"target": "/orders?x=1"}])
async def test_another_request_under_the_same_key_is_422(gateway: Gateway, other: dict[str, Any]) -> None:
    shop = Shop(gateway)
    await shop.post()
    assert code(await shop.post(**other)) == (422, "idempotency_key_reused")
    assert shop.asked == 1


async def test_another_key_is_another_request(gateway: Gateway) -> None:
    shop = Shop(gateway)
    assert [(await shop.post(key)).body for key in ("k1", "k2", None, None)] == [b"1", b"2", b"3", b"4"]


async def test_other_methods_pass(gateway: Gateway) -> None:
    shop = Shop(gateway)
    await shop.post(method="PUT")
    await shop.post(method="PUT")
    assert shop.asked == 2


async def test_of_many_at_once_one_runs(gateway: Gateway) -> None:
    shop = Shop(gateway)
    shop.held = asyncio.Event()
    asks = [asyncio.create_task(shop.post()) for _ in range(20)]
    await asyncio.sleep(0)
    shop.held.set()
    answers = await asyncio.gather(*asks)
    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    refused = next(answer for answer in answers if answer.status == 409)
    assert code(refused) == (409, "idempotency_in_progress")
    assert refused.get(b"retry-after") == b"1"
    assert (await shop.post()).body == b"1"


async def test_a_key_can_be_required(gateway: Gateway) -> None:
    shop = Shop(gateway, required=True)
    assert code(await shop.post(None)) == (400, "idempotency_key_missing")
    assert shop.asked == 0


@pytest.mark.parametrize("key", ["", '""', "a b", "x" * 256, 'a"b', "\xe4"])
async def test_a_key_that_is_none_is_400(gateway: Gateway, key: str) -> None:
    assert code(await Shop(gateway).post(key)) == (400, "idempotency_key_invalid")


async def test_two_keys_are_400(gateway: Gateway) -> None:
    assert code(await Shop(gateway).post("a", Idempotency_Key="b")) == (400, "idempotency_key_invalid")


# whose


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ann", "bob", False),
        ("ann/app", "bob/app", False),
        ("ann/app", "ann/app2", False),
        ("ann/app", "ann/app", True),
    ],
)
async def test_nobody_gets_anothers_reply(gateway: Gateway, one: str, other: str, same: bool) -> None:
    """CASES C43"""
    shop = Shop(gateway)
    await shop.post(x_test_user=one)
    assert ((await shop.post(x_test_user=other)).body == b"1") is same


async def test_an_applications_users_share_keys_where_that_is_said(gateway: Gateway) -> None:
    shop = Shop(gateway, by="application")
    await shop.post(x_test_user="ann/app")
    assert (await shop.post(x_test_user="bob/app")).body == b"1"


async def test_callers_that_nobody_knows_are_told_apart_by_what_they_claim(gateway: Gateway) -> None:
    shop = Shop(gateway)
    await shop.post(Authorization="Basic one")
    assert (await shop.post(Authorization="Basic two")).body == b"2"
    assert (await shop.post(Cookie="sid=1")).body == b"3"


# what is released, and what is in doubt


async def test_a_refusal_of_a_later_step_releases_the_key(gateway: Gateway) -> None:
    refused = True

    def refuse(_exchange: Exchange) -> None:
        if refused:
            raise Forbidden("no")

    shop = Shop(gateway, behind=Built(step=refuse))
    assert (await shop.post()).status == 403
    refused = False
    assert (await shop.post()).status == 201


@pytest.mark.parametrize("status", [429, 503])
async def test_a_backend_that_did_nothing_releases_the_key(gateway: Gateway, status: int) -> None:
    shop = Shop(gateway)
    shop.made = lambda: Reply(status)
    assert (await shop.post()).status == status
    shop.made = lambda: Reply(201)
    assert (await shop.post()).status == 201


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_any_other_reply_is_the_reply(gateway: Gateway, status: int) -> None:
    shop = Shop(gateway)
    shop.made = lambda: Reply(status)
    assert [(await shop.post()).status for _ in range(2)] == [status, status]
    assert shop.asked == 1


@pytest.mark.parametrize("problem", [BadGateway, GatewayTimeout])
async def test_what_may_have_been_done_is_in_doubt_until_the_lease_ends(gateway: Gateway, problem: Any) -> None:
    shop = Shop(gateway, lease="30s")

    def fails() -> Reply:
        raise problem("lost")

    shop.made = fails
    assert (await shop.post()).status == problem.status
    assert code(await shop.post()) == (409, "idempotency_in_doubt")
    assert shop.asked == 1
    gateway.clock.advance(31)
    shop.made = lambda: Reply(201)
    assert (await shop.post()).status == 201


async def test_an_upstream_that_takes_nobody_releases_the_key(gateway: Gateway) -> None:
    shop = Shop(gateway)

    def fails() -> Reply:
        raise Unavailable("The upstream has failed too often.")

    shop.made = fails
    assert (await shop.post()).status == 503
    shop.made = lambda: Reply(201)
    assert (await shop.post()).status == 201


class LateCells(MemoryCells):
    """What is released is let go when `go` says so."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[Any] = []

    def release(self, key: str, mine: bytes, deliver: Written = ignored) -> None:
        self.asked.append((key, mine, deliver))

    def go(self) -> None:
        for key, mine, deliver in self.asked:
            super().release(key, mine, deliver)


def refusing(_exchange: Exchange) -> None:
    raise Forbidden("no")


@pytest.mark.parametrize("behind", [None, Built(step=refusing)], ids=["backend", "step"])
async def test_who_is_refused_may_send_again_at_that_instant(late: Gateway, behind: Any) -> None:
    """To another worker, that is: nothing orders what that one asks the store behind the release."""
    shop = Shop(late, behind=behind)
    shop.made = lambda: Reply(503)
    refused = asyncio.create_task(shop.post())
    await turns()
    assert len(late.cells.asked) == 1
    assert not refused.done(), "its client would find the key taken"
    late.cells.go()
    assert (await refused).status in (403, 503)
    assert (await Shop(late).post()).status == 201


async def test_a_store_that_does_not_answer_keeps_no_refusal(late: Gateway) -> None:
    shop = Shop(late)
    shop.made = lambda: Reply(503)
    refused = asyncio.create_task(shop.post())
    await turns()
    late.cells.away = True
    late.cells.go()
    assert (await refused).status == 503


async def turns() -> None:
    """As many as a request takes that nothing holds up."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_client_that_leaves_leaves_a_doubt(gateway: Gateway) -> None:
    """CASES A60"""
    shop = Shop(gateway)
    shop.held = asyncio.Event()
    wire = MemoryWire.open(shop.live, "POST", "/orders", _fields("k1", {}), 3, first=b"one")
    await asyncio.sleep(0)
    assert shop.asked == 1
    wire.disconnect()
    assert code(await shop.post()) == (409, "idempotency_in_doubt")


async def test_a_worker_that_dies_leaves_a_lease_that_ends(gateway: Gateway) -> None:
    shop = Shop(gateway, lease="30s")
    shop.held = asyncio.Event()
    dead = asyncio.create_task(shop.post())
    await asyncio.sleep(0)
    other = Shop(gateway, lease="30s")
    gateway.clock.advance(29)
    assert code(await other.post()) == (409, "idempotency_in_progress")
    gateway.clock.advance(2)
    assert (await other.post()).status == 201
    shop.held.set()
    await dead
    assert (await other.post()).body == b"1", "what comes late replaces nothing"
    assert other.asked == 1


async def test_a_request_that_takes_long_keeps_its_claim(gateway: Gateway) -> None:
    shop = Shop(gateway, lease="30ms")
    shop.held = asyncio.Event()
    slow = asyncio.create_task(shop.post())
    await asyncio.sleep(0)
    renewed = asyncio.Event()
    settle = gateway.cells.settle

    def settled(*arguments: Any) -> None:
        settle(*arguments)
        renewed.set()

    gateway.cells.settle = settled
    await asyncio.wait_for(renewed.wait(), 10)
    assert code(await shop.post()) == (409, "idempotency_in_progress")
    shop.held.set()
    assert (await slow).status == 201


async def test_a_reply_that_is_too_large_is_not_kept_and_nothing_is_done_again(gateway: Gateway) -> None:
    shop = Shop(gateway, max_body=3)
    shop.made = lambda: Reply(200, None, b"four")
    assert (await shop.post()).body == b"four"
    assert code(await shop.post()) == (409, "idempotency_reply_not_kept")
    assert shop.asked == 1


async def test_it_ends_with_its_time(gateway: Gateway) -> None:
    shop = Shop(gateway, ttl="1h")
    await shop.post()
    gateway.clock.advance(3599)
    assert (await shop.post()).body == b"1"
    gateway.clock.advance(2)
    assert (await shop.post()).body == b"2"


async def test_without_a_store_nothing_is_done_unless_that_is_said(gateway: Gateway) -> None:
    closed, open_ = Shop(gateway), Shop(gateway, on_store_loss="open")
    gateway.cells.away = True
    assert code(await closed.post()) == (503, "store_unavailable")
    assert closed.asked == 0
    assert (await open_.post()).status == 201
    assert (await closed.post(None)).status == 201, "without a key there is nothing to decide"


# over the relay


class Streams:
    """An upstream that answers in pieces; `go` lets the second one follow, None cuts it."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces = pieces
        self.asked = 0

    async def __call__(self, conversation: Conversation) -> None:
        while True:
            await conversation.request()
            self.asked += 1
            for piece in self.pieces:
                if piece is None:
                    conversation.reset()
                    return
                conversation.send(piece)
                await asyncio.sleep(0.01)


HEAD = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.fixture
async def relayed(gateway: Gateway, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Shop, Streams]]:
    streams = Streams(*request.param)
    async with upstream(streams) as up:
        pool = open_upstream([up.url])
        yield Shop(gateway, last=pool.relay(None, ()), max_body=5), streams
        await pool.close()


@pytest.mark.parametrize("relayed", [(HEAD, b"2\r\nde\r\n0\r\n\r\n")], indirect=True)
async def test_a_streamed_reply_is_kept(relayed: tuple[Shop, Streams]) -> None:
    shop, streams = relayed
    assert [(await shop.post()).body for _ in range(2)] == [b"abcde", b"abcde"]
    assert streams.asked == 1


@pytest.mark.parametrize("relayed", [(HEAD, b"3\r\ndef\r\n0\r\n\r\n")], indirect=True)
async def test_a_streamed_reply_that_grows_too_large_is_not_kept(relayed: tuple[Shop, Streams]) -> None:
    shop, streams = relayed
    assert (await shop.post()).body == b"abcdef"
    assert code(await shop.post()) == (409, "idempotency_reply_not_kept")
    assert streams.asked == 1


BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"


@pytest.mark.parametrize("relayed", [(BUSY,), (BUSY.replace(b"4", b"0")[:-4],)], indirect=True)
async def test_the_end_of_a_streamed_refusal_waits_for_its_release(
    late: Gateway, relayed: tuple[Shop, Streams]
) -> None:
    shop, streams = relayed
    refused = asyncio.create_task(shop.post())
    await until(lambda: bool(late.cells.asked))
    await turns()
    assert not refused.done()
    late.cells.go()
    assert (await refused).status == 503
    late.cells.asked.clear()
    again = asyncio.create_task(shop.post())
    await until(lambda: bool(late.cells.asked))
    late.cells.go()
    await again
    assert streams.asked == 2


@pytest.mark.parametrize("relayed", [(HEAD, None)], indirect=True)
async def test_a_streamed_reply_that_is_cut_leaves_a_doubt(relayed: tuple[Shop, Streams]) -> None:
    shop, streams = relayed
    with pytest.raises(Cut):
        await shop.post()
    assert code(await shop.post()) == (409, "idempotency_in_doubt")
    assert streams.asked == 1


@pytest.mark.parametrize("config", [{"ttl": "x"}, {"methods": ["GET"]}, {"header": "a b"}, {"release_on": [200]}])
def test_a_configuration_that_means_nothing_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        idempotency.Idempotency.model_validate(config)


# kept before it leaves


class Slow:
    """Cells that answer a settling once they are let go."""

    def __init__(self, cells: Any) -> None:
        self.cells = cells
        self.held: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cells, name)

    def settle(self, *arguments: Any) -> None:
        *given, deliver = arguments
        self.cells.settle(*given, lambda done: self.held.append(lambda: deliver(done)))

    def let_go(self) -> None:
        held, self.held = self.held, []
        for each in held:
            each()


async def test_a_reply_leaves_once_it_is_kept_and_others_do_not_wait_for_it(gateway: Gateway) -> None:
    gateway.cells = slow = Slow(gateway.cells)
    shop = Shop(gateway)
    first = asyncio.create_task(shop.post())
    await until(lambda: len(slow.held) == 1)
    assert (await shop.post(None)).status == 201, "who has no key never waits"
    assert (await shop.post()).body == b"1", "it is kept already"
    assert not first.done()
    slow.let_go()
    assert (await first).body == b"1"


async def test_a_client_that_leaves_while_its_reply_is_kept_finds_it_later(gateway: Gateway) -> None:
    gateway.cells = slow = Slow(gateway.cells)
    shop = Shop(gateway)
    wire = MemoryWire.open(shop.live, "POST", "/orders", _fields("k1", {}))
    await until(lambda: len(slow.held) == 1)
    wire.disconnect()
    slow.let_go()
    assert ((await shop.post(body=b"")).body, shop.asked) == (b"1", 1)


async def test_a_reply_that_breaks_the_message_is_a_500_also_where_it_was_kept_first(gateway: Gateway) -> None:
    gateway.cells = slow = Slow(gateway.cells)

    def spoil(_exchange: Exchange, reply: Reply) -> None:
        reply.headers.append((b"X-Bad", b"a\r\nb"))

    shop = Shop(gateway)
    chain = shop.chain
    shop.live.current = OneChain(replace(chain, afters=(*chain.afters, (0, spoil))))  # type: ignore[assignment]
    first = asyncio.create_task(shop.post())
    await until(lambda: len(slow.held) == 1)
    slow.let_go()
    assert (await first).status == 500


@pytest.mark.parametrize(
    "relayed",
    [(HEAD, b"2\r\nde\r\n0\r\n\r\n"), (b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nabc", b"de")],
    indirect=True,
    ids=["in chunks", "of a length"],
)
async def test_the_end_of_a_streamed_reply_waits_until_it_is_kept(relayed: tuple[Shop, Streams]) -> None:
    shop, _ = relayed
    once: Any = shop.chain.steps[2].__self__  # type: ignore[attr-defined]
    once._cells = slow = Slow(once._cells)
    first = asyncio.create_task(shop.post())
    await until(lambda: len(slow.held) == 1)
    assert not first.done()
    assert (await shop.post()).get(b"idempotency-replayed") == b"true"
    slow.let_go()
    assert (await first).status == 201


async def test_a_retry_at_once_on_another_worker_is_never_told_to_wait(valkey: str, prefix: str) -> None:
    """Over a real store, which the two workers reach by connections of their own."""
    shops = []
    for _ in range(2):
        gateway = Gateway()
        gateway.cells = open_cells(valkey, prefix)
        shops.append(shop := Shop(gateway))
        while (await shop.post("warm", method="PATCH")).status == 503:  # noqa: ASYNC110 - it connects by itself
            await asyncio.sleep(0.01)
    one, other = shops
    one.asked = other.asked = 0
    for number in range(200):
        first = await one.post(f"k{number}")
        retry = await other.post(f"k{number}")
        assert (first.status, retry.status, retry.body) == (201, 201, first.body)
    assert (one.asked, other.asked) == (200, 0)
    for shop in shops:
        await shop.gateway.cells.close()
