"""The hot connection to a store that refuses, closes, stays silent and sends nonsense (CASES A62, A63): every call is
answered once, with its own answer or none, and the connection comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.store.client import Script
from gateway.store.hot import HotConnection, pack
from tests.store.scripted import Close, Hang, ScriptedStore, bulk, closing, refusing, scripted, silent, well

SCRIPT = Script("return 1")
RUN = pack(b"EVALSHA", SCRIPT.sha.encode(), b"0")
PING = pack(b"PING")
REFUSALS = (
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    "LOADING Valkey is loading the dataset in memory",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "BUSY Valkey is busy running a script.",
    "MASTERDOWN Link with MASTER is down",
    "CLUSTERDOWN The cluster is down",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "NOSCRIPT No matching script.",  # and again, after it was loaded
    "ERR anything else",
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ScriptedStore]:
    async with scripted(tmp_path) as found:
        yield found


@pytest.fixture
async def hot(store: ScriptedStore) -> AsyncIterator[HotConnection]:
    connection = HotConnection(store.url, timeout=0.05, backoff=(0.005, 0.02))
    assert await connection.connect()
    yield connection
    await connection.close()


async def ask(connection: HotConnection, command: bytes, script: Script | None = None) -> Any:
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.call(command, found.set_result, script)
    return await asyncio.wait_for(found, 10)


async def happens(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is tested tells nobody
            await asyncio.sleep(0.002)


async def up(connection: HotConnection) -> None:
    await happens(lambda: connection.up)


async def back(connection: HotConnection) -> None:
    """It is there, and stays."""
    await up(connection)
    while await ask(connection, PING) != b"PONG":
        await up(connection)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda text: text.partition(" ")[0])
async def test_what_the_store_refuses_is_no_decision_until_it_recovers(
    store: ScriptedStore, hot: HotConnection, refusal: str
) -> None:
    store.answer = refusing(refusal)
    assert await asyncio.gather(*(ask(hot, RUN, SCRIPT) for _ in range(20))) == [None] * 20
    store.answer = well
    await back(hot)
    assert await ask(hot, RUN, SCRIPT)


async def test_a_store_that_is_loading_is_not_used_before_it_has_loaded(
    store: ScriptedStore, hot: HotConnection
) -> None:
    """It accepts connections and refuses even PING."""
    store.answer = refusing("LOADING Valkey is loading the dataset in memory", (b"PING",))
    store.drop()
    before = store.connections
    assert await ask(hot, RUN, SCRIPT) is None
    await happens(lambda: store.connections >= before + 3)
    assert not hot.up
    store.answer = well
    await back(hot)


@pytest.mark.parametrize(
    "last", [b"", b"*5\r\n:1\r\n:0", b"$100\r\nhalf"], ids=["bare", "half a verdict", "half a bulk"]
)
async def test_a_connection_that_ends_answers_everything_that_is_pending(
    store: ScriptedStore, hot: HotConnection, last: bytes
) -> None:
    store.answer = closing(last)
    assert await asyncio.gather(*(ask(hot, RUN, SCRIPT) for _ in range(20))) == [None] * 20
    store.answer = well
    await back(hot)


async def test_a_silent_store_costs_one_time_out_and_then_nothing(store: ScriptedStore, hot: HotConnection) -> None:
    store.answer = silent
    assert await asyncio.gather(*(ask(hot, RUN, SCRIPT) for _ in range(20))) == [None] * 20
    assert not hot.up
    answers: list[Any] = []
    hot.call(RUN, answers.append, SCRIPT)
    assert answers == [None], "at once, without a turn of the loop"
    store.answer = well
    await back(hot)


async def test_answers_in_pieces_are_put_together(store: ScriptedStore, hot: HotConnection) -> None:
    store.piece = 1
    hot._timeout = 10.0
    texts = [b"text %d" % number for number in range(20)]
    assert await asyncio.gather(*(ask(hot, pack(b"ECHO", text)) for text in texts)) == texts


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+unasked\r\n", b"\x00\xff\xfe\r\n"])
async def test_what_is_no_answer_ends_the_connection_before_it_meets_a_call(
    store: ScriptedStore, hot: HotConnection, nonsense: bytes
) -> None:
    connections = store.connections
    store.say(nonsense)
    await happens(lambda: store.connections > connections)
    await back(hot)
    assert await ask(hot, pack(b"ECHO", b"mine")) == b"mine"


async def test_a_script_that_is_never_known_is_asked_for_twice_and_no_more(
    store: ScriptedStore, hot: HotConnection
) -> None:
    store.answer = refusing("NOSCRIPT No matching script.")
    assert await ask(hot, RUN, SCRIPT) is None
    assert [command[0] for command in store.commands] == [b"PING", b"EVALSHA", b"SCRIPT", b"EVALSHA"]


async def test_a_demoted_primary_is_not_stormed_with_connections(store: ScriptedStore, hot: HotConnection) -> None:
    """It accepts every connection and answers PING; the first call is refused each time."""
    hot._backoff = 0.001, 10.0  # no link lasts so long
    store.answer = refusing("READONLY You can't write against a read only replica.")
    pauses: list[float] = []
    for _ in range(6):
        assert await ask(hot, RUN, SCRIPT) is None
        pauses.append(hot._pause)
        await up(hot)
    assert pauses == [hot._pause / 2**power for power in range(5, -1, -1)]
    hot._backoff = 0.001, 0.0  # this one has lasted
    assert await ask(hot, RUN, SCRIPT) is None
    assert hot._pause == 0.001


async def test_the_same_refusal_of_many_calls_is_one_line_of_the_log(
    store: ScriptedStore, hot: HotConnection, caplog: pytest.LogCaptureFixture
) -> None:
    store.answer = refusing("OOM command not allowed when used memory > 'maxmemory'.")
    with caplog.at_level(logging.WARNING, "gateway.store"):
        for _ in range(50):
            await ask(hot, RUN, SCRIPT)
    assert len(caplog.records) == 1


async def test_an_unexpected_error_while_connecting_does_not_end_the_trying(
    store: ScriptedStore, hot: HotConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    connect = HotConnection._open

    async def fails(connection: HotConnection, link: Any) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise RuntimeError("nobody expects this")
        await connect(connection, link)

    monkeypatch.setattr(HotConnection, "_open", fails)
    store.drop()
    assert await ask(hot, RUN, SCRIPT) is None
    await back(hot)
    assert tries == 3


async def test_no_answer_ever_meets_another_call_whatever_the_store_does(
    store: ScriptedStore, hot: HotConnection
) -> None:
    """3,000 calls over random faults: each is answered once, by its own text or by nothing."""
    chance = random.Random(62)

    def moody(command: list[bytes]) -> bytes:
        luck = chance.random()
        if command[0] != b"ECHO" or luck < 0.94:
            return well(command)
        if luck < 0.96:
            return b"-OOM command not allowed\r\n"
        if luck < 0.97:
            raise Hang
        if luck < 0.98:
            raise Close(bulk(command[1])[: chance.randrange(8)])
        if luck < 0.99:
            raise Close(bulk(command[1]))
        return b"-READONLY You can't write against a read only replica.\r\n"

    store.answer = moody
    answers: dict[bytes, list[Any]] = {}
    for number in range(3000):
        text = b"call %d" % number
        answers[text] = []
        hot.call(pack(b"ECHO", text), answers[text].append)
        if chance.random() < 0.3:
            store.piece = chance.choice((0, 0, 3))
            await asyncio.sleep(chance.choice((0.0, 0.0, 0.001)))
    await happens(lambda: all(answers.values()))
    assert all(len(found) == 1 for found in answers.values())
    wrong = {text: found for text, found in answers.items() if found[0] not in (None, text)}
    assert wrong == {}
    assert sum(found[0] is not None for found in answers.values()) > 50


async def test_the_look_for_another_master_outlasts_a_link_that_is_lost_meanwhile(valkey: str) -> None:
    connection = HotConnection(valkey)
    looked = asyncio.Event()

    class Sentinels:
        calls = 0

        async def master(self) -> tuple[str, int]:
            self.calls += 1
            connection._link = None
            if self.calls > 1:
                looked.set()
            return "127.0.0.1", 1

    assert await connection.connect()
    connection._sentinels = Sentinels()  # type: ignore[assignment]
    link = connection._link
    watching = asyncio.create_task(connection._leave_old_masters())
    async with asyncio.timeout(20):
        while not looked.is_set() and not watching.done():
            connection._link = link
            await asyncio.wait({watching, asyncio.create_task(looked.wait())}, timeout=0.2)
    assert not watching.done()
    watching.cancel()
    connection._sentinels = None
    connection._link = link
    await connection.close()
