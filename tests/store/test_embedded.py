"""The embedded store: how it starts, ends, and what it survives."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.store.client import Client
from gateway.store.embedded import EmbeddedStore, EmbeddedStoreError, find_binary
from gateway.store.redis_store import RedisStore
from gateway.store.store import Write
from tests.servers import until

OWNER = """
import asyncio, pathlib, sys
from gateway.store.embedded import EmbeddedStore

async def main():
    store = EmbeddedStore(pathlib.Path(sys.argv[1]))
    await store.start()
    print(store.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def setting(store: EmbeddedStore, name: str) -> str:
    client = Client(store.url)
    found = await client.execute("CONFIG", "GET", name)
    await client.close()
    return str(found[1].decode())


def spawn(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, **options)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_it_answers_once_it_has_started(embedded: EmbeddedStore) -> None:
    client = Client(embedded.url)
    assert await client.execute("PING")
    await client.close()


async def test_it_listens_on_a_private_unix_socket_only(embedded: EmbeddedStore) -> None:
    assert await setting(embedded, "port") == "0"
    assert stat.S_IMODE(embedded.socket.parent.stat().st_mode) == 0o700
    assert embedded.url.startswith("unix:///")


async def test_it_keeps_what_it_is_given(embedded: EmbeddedStore) -> None:
    """CASES Q76."""
    assert await setting(embedded, "appendonly") == "yes"
    assert await setting(embedded, "maxmemory-policy") == "noeviction"


async def test_a_stop_and_a_start_keep_the_data(tmp_path: Path) -> None:
    for round_ in range(2):
        embedded = EmbeddedStore(tmp_path)
        store = RedisStore(await embedded.start())
        assert await store.sequence() == round_
        await store.commit([Write("plans", "gold", {})])
        await store.close()
        await embedded.stop()
        assert embedded.pid is None


async def test_two_gateways_never_share_a_directory(embedded: EmbeddedStore, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedStoreError, match=r"Another gateway uses .*--data"):
        await EmbeddedStore(tmp_path).start()
    assert embedded.pid is not None


async def test_a_directory_whose_path_is_too_long_for_a_socket_works(tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path / ("deep" * 30))
    try:
        url = await embedded.start()
        assert len(os.fsencode(embedded.socket)) <= 100
        assert url == f"unix://{embedded.socket}"
        assert stat.S_IMODE(embedded.socket.parent.stat().st_mode) == 0o700
    finally:
        await embedded.stop()
        embedded.socket.parent.rmdir()


async def test_the_server_ends_with_its_killed_owner(tmp_path: Path) -> None:
    owner = spawn([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not running(pid), "the server has ended")
    embedded = EmbeddedStore(tmp_path)
    await embedded.start()
    await embedded.stop()


async def test_a_server_that_was_left_behind_is_shut_down_first(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    orphan = spawn(
        [str(find_binary()), "--port", "0", "--unixsocket", str(folder / "old"), "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    (folder / "pid").write_text(str(orphan.pid))
    until(lambda: (folder / "old").exists(), "the orphan listens")
    reaped = asyncio.create_task(asyncio.to_thread(orphan.wait))
    embedded = EmbeddedStore(tmp_path)
    await embedded.start()
    assert embedded.pid != orphan.pid
    assert await reaped == 0
    await embedded.stop()


async def test_a_foreign_process_of_the_recorded_id_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with spawn([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd="/") as other:
        (tmp_path / "store" / "pid").write_text(str(other.pid))
        embedded = EmbeddedStore(tmp_path)
        await embedded.start()
        assert other.poll() is None
        await embedded.stop()


async def test_a_killed_server_is_noticed(embedded: EmbeddedStore) -> None:
    assert embedded.pid is not None
    os.kill(embedded.pid, signal.SIGKILL)
    assert await embedded.ended() == -signal.SIGKILL
    assert embedded.pid is None


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedStoreError, match="nowhere is not a program"):
        await EmbeddedStore(tmp_path, tmp_path / "nowhere").start()


async def test_a_program_that_is_no_server_tells_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho I am no store\nexit 3\n")
    program.chmod(0o700)
    with pytest.raises(EmbeddedStoreError, match="I am no store"):
        await EmbeddedStore(tmp_path, program).start()


async def test_a_failed_start_gives_the_directory_free(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedStoreError):
        await EmbeddedStore(tmp_path, tmp_path / "nowhere").start()
    embedded = EmbeddedStore(tmp_path)
    await embedded.start()
    await embedded.stop()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedStoreError, match="--data"):
        await EmbeddedStore(tmp_path / "file").start()


def test_without_any_program_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("gateway.store.embedded.find_spec", lambda _name: None)
    with pytest.raises(EmbeddedStoreError, match="--store redis://"):
        find_binary()


def test_a_program_on_the_path_comes_before_the_packaged_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == program


def test_it_works_on_the_loop_of_the_workers(tmp_path: Path) -> None:
    async def scene() -> None:
        embedded = EmbeddedStore(tmp_path)
        await embedded.start()
        assert embedded.pid is not None
        os.kill(embedded.pid, signal.SIGKILL)
        assert await embedded.ended() == -signal.SIGKILL
        await embedded.start()
        await embedded.stop()

    uvloop.run(scene())
