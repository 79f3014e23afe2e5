"""A runtime's port, as somebody finds it who has no token: nothing runs, nothing is told, nothing is held for long."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.secrets import Secret
from gateway.runtime import proving
from gateway.runtime.frames import Frame, Frames, pack
from tests.runtime import far_processes as far
from tests.runtime.remote_harness import LIMIT, Runtime, call, connected, runner, within

TOKEN = Secret("t" * 16)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    made = await Runtime().on(tmp_path / "far.sock")
    yield made
    await made.end()


class Peer:
    """Somebody who connects."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.frames = Frames(LIMIT, LIMIT)
        self.came: list[Frame] = []

    @classmethod
    async def at(cls, path: Path) -> Peer:
        return cls(*await asyncio.open_unix_connection(path))

    def send(self, message: dict[str, object], body: bytes = b"") -> None:
        self.writer.write(pack(message, body))

    async def next(self) -> Frame:
        while not self.came:
            data = await within(self.reader.read(65_536))
            assert data, "the connection ended"
            self.came += self.frames.feed(data)
        return self.came.pop(0)

    async def ended(self) -> None:
        try:
            while await within(self.reader.read(65_536)):
                pass
        except ConnectionError:
            pass
        self.writer.close()


CALL = {"id": 1, "do": "call", "process": "echo", "context": {}}


@pytest.mark.parametrize(
    "first",
    [
        CALL,
        {"do": "ping"},
        {"nonce": "n" * 64, "proof": ""},
        {"nonce": "n" * 64, "proof": None},
        {"nonce": "n", "proof": proving.proof(TOKEN, proving.GATEWAY, "x", "n")},
        {"nonce": 7, "proof": "é"},
        {},
    ],
)
async def test_nothing_is_done_and_nothing_told_before_a_proof(
    first: dict[str, object], runtime: Runtime, tmp_path: Path
) -> None:
    peer = await Peer.at(tmp_path / "far.sock")
    told, body = await peer.next()
    assert (set(told), body) == ({"penstock", "nonce"}, b"")
    peer.send(first, b"" if first is not CALL else b"{}")
    peer.send(CALL, b'{"text": "x"}')
    await peer.ended()
    assert all("proof" not in told for told, _ in peer.came)
    assert not runtime.server.calls


async def test_a_proof_that_was_overheard_is_worth_nothing(runtime: Runtime, tmp_path: Path) -> None:
    first = await Peer.at(tmp_path / "far.sock")
    nonce = (await first.next())[0]["nonce"]
    proof = {"nonce": "n" * 64, "proof": proving.proof(TOKEN, proving.GATEWAY, nonce, "n" * 64)}
    first.send(proof)
    assert "proof" in (await first.next())[0]
    second = await Peer.at(tmp_path / "far.sock")
    await second.next()
    second.send(proof)
    assert (await second.next())[0] == {"refused": "token"}
    await second.ended()
    first.writer.close()


async def test_the_proof_of_a_runtime_cannot_be_sent_back_to_it(runtime: Runtime, tmp_path: Path) -> None:
    """A reflection: the runtime is made to prove itself to nobody, so its proof of one side is never the other's."""
    peer = await Peer.at(tmp_path / "far.sock")
    nonce = (await peer.next())[0]["nonce"]
    peer.send({"nonce": nonce, "proof": proving.proof(TOKEN, proving.RUNTIME, nonce, nonce)})
    assert (await peer.next())[0] == {"refused": "token"}
    await peer.ended()


async def test_a_stranger_can_make_it_hold_no_more_than_a_greeting(runtime: Runtime, tmp_path: Path) -> None:
    peer = await Peer.at(tmp_path / "far.sock")
    await peer.next()
    peer.writer.write(struct.pack(">II", proving.GREETING + 1, 0))
    await peer.ended()
    peer = await Peer.at(tmp_path / "far.sock")
    await peer.next()
    peer.writer.write(struct.pack(">II", 10, 1))
    await peer.ended()


async def test_who_says_nothing_is_let_go(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "PATIENCE", 0.01)
    peer = await Peer.at(tmp_path / "far.sock")
    await peer.ended()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
async def test_whatever_a_stranger_sends_the_others_are_served(runtime: Runtime, tmp_path: Path, data: bytes) -> None:
    there = await connected(tmp_path / "far.sock")
    peer = await Peer.at(tmp_path / "far.sock")
    peer.writer.write(data)
    assert await call(runner(there, far.echo), text="served") == "served"
    peer.writer.close()
    await there.close()


@pytest.mark.parametrize(
    "order",
    [
        {"do": "call"},
        {"id": "x", "do": "call", "process": "echo", "context": {}},
        {"do": "remove"},
        {"id": [], "do": "cancel"},
    ],
)
async def test_a_gateway_that_sends_nonsense_is_let_go_and_others_are_served(
    order: dict[str, object], runtime: Runtime, tmp_path: Path
) -> None:
    peer = await Peer.at(tmp_path / "far.sock")
    nonce = (await peer.next())[0]["nonce"]
    peer.send({"nonce": "n" * 64, "proof": proving.proof(TOKEN, proving.GATEWAY, nonce, "n" * 64)})
    described = (await peer.next())[1]
    assert "echo" in orjson.loads(described)
    peer.send(order)
    await peer.ended()
    there = await connected(tmp_path / "far.sock")
    assert await call(runner(there, far.echo), text="served") == "served"
    await there.close()


@pytest.mark.parametrize(
    ("process", "context", "body"),
    [
        ("nothing", {}, b"{}"),
        ("echo", {}, b'{"text": "x"}'),
        ("echo", {"call_id": 1}, b'{"text": "x"}'),
        ("echo", {}, b"no json"),
        ("echo", {}, b'{"text": 1}'),
    ],
)
async def test_a_call_that_is_none_is_answered_as_failed(
    process: str, context: dict[str, object], body: bytes, runtime: Runtime, tmp_path: Path
) -> None:
    peer = await Peer.at(tmp_path / "far.sock")
    nonce = (await peer.next())[0]["nonce"]
    peer.send({"nonce": "n" * 64, "proof": proving.proof(TOKEN, proving.GATEWAY, nonce, "n" * 64)})
    await peer.next()
    peer.send({"id": 5, "do": "call", "process": process, "context": context}, body)
    told, _ = await peer.next()
    assert (told["id"], told["problem"]["status"] >= 400) == (5, True)
    peer.writer.close()
