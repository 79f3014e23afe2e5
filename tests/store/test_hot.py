"""The hot connection against a real server that freezes, dies, forgets and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop

from gateway.core.errors import InvalidInput
from gateway.store.client import Script
from gateway.store.hot import HotConnection, bulk, pack
from tests.servers import Server, _answers, running_valkey, until

PING = pack(b"PING")


@pytest.fixture
async def hot(valkey: str) -> AsyncIterator[HotConnection]:
    connection = HotConnection(valkey)
    assert await connection.connect()
    yield connection
    await connection.close()


async def ask(connection: HotConnection, command: bytes, script: Script | None = None) -> Any:
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    connection.call(command, found.set_result, script)
    return await found


async def back(connection: HotConnection) -> None:
    async with asyncio.timeout(20):
        while not connection.up:  # noqa: ASYNC110 - its state is what is tested
            await asyncio.sleep(0.01)


def start(folder: Path) -> tuple[Server, str]:
    path = folder / "s"
    server = Server(folder, "--port", "0", "--unixsocket", str(path))
    with redis.Redis.from_url(f"unix://{path}") as client:
        until(lambda: _answers(client), "the server answers")
    return server, f"unix://{path}"


async def test_answers_come_in_the_order_of_the_calls(hot: HotConnection) -> None:
    answers = await asyncio.gather(*(ask(hot, pack(b"ECHO", b"%d" % n)) for n in range(2000)))
    assert answers == [b"%d" % n for n in range(2000)]


async def test_calls_of_one_tick_are_written_together(hot: HotConnection) -> None:
    calls = [ask(hot, PING) for _ in range(3)]
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    assert await asyncio.gather(*tasks) == [b"PONG"] * 3


async def test_a_refused_command_is_no_decision_and_harms_no_other(hot: HotConnection) -> None:
    answers = await asyncio.gather(ask(hot, PING), ask(hot, pack(b"NONSENSE")), ask(hot, PING))
    assert answers == [b"PONG", None, b"PONG"]


async def test_an_unknown_script_is_loaded_and_asked_again(hot: HotConnection) -> None:
    script = Script("return {KEYS[1], ARGV[1], '" + "x" * 20 + "'}")
    command = pack(b"EVALSHA", script.sha.encode(), b"1", b"k", b"a")
    assert await ask(hot, command, script) == [b"k", b"a", b"x" * 20]


async def test_a_call_that_waits_to_be_written_is_not_overtaken_by_the_loading_of_a_script(hot: HotConnection) -> None:
    """Both answers come at once; the first one's callback calls again before the second one's script is loaded."""
    script = Script("return 'of the script, " + "y" * 20 + "'")
    found: dict[str, Any] = {}
    complete = asyncio.Event()

    def answered(name: str, reply: Any) -> None:
        found[name] = reply
        if name == "first":
            hot.call(pack(b"ECHO", b"of the second"), lambda reply: answered("second", reply))
        if len(found) == 3:
            complete.set()

    hot.call(PING, lambda reply: answered("first", reply))
    command = pack(b"EVALSHA", script.sha.encode(), b"0")
    hot.call(command, lambda reply: answered("script", reply), script)
    await asyncio.wait_for(complete.wait(), 20)
    expected = {"first": b"PONG", "second": b"of the second", "script": b"of the script, " + b"y" * 20}
    assert found == expected


async def test_a_callback_that_fails_takes_no_answer_from_others(hot: HotConnection) -> None:
    def fails(_reply: Any) -> None:
        raise RuntimeError("a callback's own mistake")

    hot.call(PING, fails)
    assert await ask(hot, PING) == b"PONG"


async def test_a_frozen_store_decides_nothing_and_then_costs_nothing(tmp_path: Path) -> None:
    """CASES A62: the breaker answers at once, and the connection comes back by itself."""
    with running_valkey() as _:
        pass
    server, url = start(tmp_path)
    connection = HotConnection(url, timeout=0.05)
    try:
        assert await connection.connect()
        server.freeze()
        assert await asyncio.gather(*(ask(connection, PING) for _ in range(10))) == [None] * 10
        assert not connection.up
        answers: list[Any] = []
        connection.call(PING, answers.append)
        assert answers == [None]
        server.thaw()
        await back(connection)
        assert await ask(connection, PING) == b"PONG"
    finally:
        server.thaw()
        await connection.close()
        server.kill()


async def test_a_killed_store_fails_what_is_pending_and_is_found_again(tmp_path: Path) -> None:
    server, url = start(tmp_path)
    connection = HotConnection(url, timeout=20.0)
    try:
        assert await connection.connect()
        server.freeze()
        pending = asyncio.ensure_future(ask(connection, PING))
        await asyncio.sleep(0)
        server.kill()
        assert await pending is None
        server, _ = await asyncio.to_thread(start, tmp_path)
        await back(connection)
        assert await ask(connection, PING) == b"PONG"
    finally:
        await connection.close()
        server.kill()


async def test_a_store_that_comes_late_is_found(tmp_path: Path) -> None:
    connection = HotConnection(f"unix://{tmp_path}/s")
    assert not await connection.connect()
    answers: list[Any] = []
    connection.call(PING, answers.append)
    assert answers == [None]
    server, _ = await asyncio.to_thread(start, tmp_path)
    try:
        await back(connection)
        assert await ask(connection, PING) == b"PONG"
    finally:
        await connection.close()
        server.kill()


async def test_a_wrong_password_never_opens_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = Server(tmp_path, "--port", "0", "--unixsocket", str(path), "--requirepass", "right")
    try:
        with redis.Redis.from_url(f"unix://{path}?password=right") as client:
            until(lambda: _answers(client), "the server answers")
        right, wrong = HotConnection(f"unix://:right@{path}?db=3"), HotConnection(f"unix://:wrong@{path}")
        assert await right.connect()
        assert await ask(right, pack(b"SET", b"k", b"v")) == b"OK"
        assert not await wrong.connect()
        await right.close()
        await wrong.close()
    finally:
        server.kill()


async def test_closing_answers_what_is_pending(hot: HotConnection) -> None:
    pending = asyncio.ensure_future(ask(hot, PING))
    await asyncio.sleep(0)
    await hot.close()
    assert await pending in (None, b"PONG")


async def test_a_loop_that_stood_still_blames_no_store(hot: HotConnection) -> None:
    pending = asyncio.ensure_future(ask(hot, PING))
    await asyncio.sleep(0)
    until(iter([False] * 60 + [True]).__next__, "three time-outs have passed")
    assert await pending == b"PONG"


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput):
        HotConnection("amqp://localhost")


def test_a_packed_command_is_an_array_of_bulk_strings() -> None:
    assert pack(b"GET", b"k") == b"*2\r\n" + bulk(b"GET") + b"$1\r\nk\r\n"


def test_it_works_on_the_loop_of_the_workers(tmp_path: Path) -> None:
    server, url = start(tmp_path)

    async def scene() -> None:
        connection = HotConnection(url, timeout=0.05)
        assert await connection.connect()
        assert await asyncio.gather(*(ask(connection, pack(b"ECHO", b"%d" % n)) for n in range(100)))
        server.freeze()
        assert await ask(connection, PING) is None
        server.thaw()
        await back(connection)
        assert await ask(connection, PING) == b"PONG"
        await connection.close()

    try:
        uvloop.run(scene())
    finally:
        server.thaw()
        server.kill()
