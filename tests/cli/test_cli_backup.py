"""`penstock backup` and `restore`: files, pipes, passphrases, and a store without a gateway."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from gateway.cli import encrypted
from gateway.cli.client import Failed
from gateway.core.errors import NotFound
from gateway.store.connect import open_store, open_streams
from gateway.store.store import Write
from tests.admin.admin_harness import PLAN, TOPIC, policy, shop
from tests.admin.admin_server import Served, serving
from tests.cli.cli_harness import penstock, use
from tests.server.nodes import ROOT
from tests.servers import running_valkey, until

SECRET = "one-secret-for-the-whole-cluster"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("node")) as served:
        served.apply(policy(), PLAN, TOPIC, shop())
        yield served


@pytest.fixture(autouse=True)
def here(started: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(started, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_KEY_SECRET", SECRET)
    Path("phrase").write_text("correct horse battery staple\n")


@pytest.fixture
def valkey() -> Iterator[str]:
    with running_valkey() as url:
        yield url


def test_a_backup_is_a_file_of_its_owner_that_a_restore_takes() -> None:
    ran = penstock("backup", "there.backup")
    assert (ran.code, ran.out) == (0, "")
    assert "as of sequence" in ran.err
    assert Path("there.backup").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in Path().iterdir() if "backup" in each.name] == ["there.backup"]
    told = penstock("restore", "there.backup", "--replace", "--dry-run")
    assert told.code == 0, told.err
    assert "plans" in told.out
    assert "Nothing was written." in told.out
    done = penstock("restore", "there.backup", "--replace", "--json").json
    assert {each["table"]: each["unchanged"] for each in done["items"]}["plans"] == 1
    assert done["sequence"] > 1_000_000


def test_a_backup_as_json_tells_what_it_holds() -> None:
    told = penstock("backup", "there.backup", "--json").json
    assert told["file"] == "there.backup"
    assert told["lines"]["record"] > 4


def test_a_store_that_is_not_empty_is_refused_with_the_way_out() -> None:
    penstock("backup", "there.backup")
    ran = penstock("restore", "there.backup")
    assert ran.code == 1
    assert "--replace --dry-run" in ran.err


def test_a_backup_goes_through_pipes(started: Served) -> None:
    command = [sys.executable, "-m", "gateway.cli.main"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.run([*command, "backup", "-"], capture_output=True, env=environment, check=True)
    more = [*command, "restore", "-", "--replace", "--dry-run", "--json"]
    told = subprocess.run(more, input=made.stdout, capture_output=True, env=environment, check=True)
    assert orjson.loads(told.stdout)["sequence"] is None


def test_a_passphrase_encrypts_the_file_and_decrypts_it() -> None:
    assert penstock("backup", "there.backup", "--passphrase-file", "phrase").code == 0
    content = Path("there.backup").read_bytes()
    assert content.startswith(b"penstock-encrypted 1 scrypt ")
    assert b"shop" not in content
    told = penstock("restore", "there.backup", "--replace", "--dry-run", "--passphrase-file", "phrase")
    assert told.code == 0, told.err
    ran = penstock("restore", "there.backup", "--replace")
    assert (ran.code, "--passphrase-file" in ran.err) == (2, True)


def test_another_passphrase_and_a_plain_file_are_told() -> None:
    penstock("backup", "there.backup", "--passphrase-file", "phrase")
    Path("other").write_text("incorrect horse battery staple")
    ran = penstock("restore", "there.backup", "--replace", "--passphrase-file", "other")
    assert (ran.code, "another passphrase" in ran.err) == (1, True)
    penstock("backup", "plain.backup")
    ran = penstock("restore", "plain.backup", "--replace", "--passphrase-file", "phrase")
    assert (ran.code, "is not encrypted" in ran.err) == (1, True)
    Path("short").write_text("hush\n")
    ran = penstock("backup", "there.backup", "--passphrase-file", "short")
    assert (ran.code, "shorter than 12" in ran.err) == (2, True)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
def test_what_is_encrypted_comes_back_and_a_part_of_it_never(size: int) -> None:
    content = os.urandom(size)
    made = list(encrypted.encrypt([content[:10], content[10:]], b"a passphrase of some length"))
    whole = b"".join(made)

    def opened(data: bytes) -> bytes:
        return b"".join(encrypted.decrypt(io.BytesIO(data), b"a passphrase of some length"))

    assert opened(whole) == content
    pieces = made[1:]
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    wrong = [made[0], b"".join(made[:-1]), whole[:-1], bytes(flipped), whole.replace(b"scrypt 32768", b"scrypt 16384")]
    if len(pieces) > 2:
        wrong += [b"".join([made[0], *pieces[1:]]), b"".join([made[0], pieces[1], pieces[0], *pieces[2:]])]
    for data in wrong:
        with pytest.raises(Failed):
            opened(data)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["restore", "nowhere.backup"], "nowhere.backup cannot be read"),
        (["backup", "no/such/folder/there.backup"], "cannot be written"),
        (["restore", "phrase", "--replace"], "line 1"),
    ],
)
def test_files_that_cannot_be_used_are_named(arguments: list[str], told: str) -> None:
    ran = penstock(*arguments)
    assert (ran.code, told in ran.err) == (1, True), ran.err


def test_the_store_itself_is_backed_up_and_restored_without_a_gateway(valkey: str) -> None:
    write(valkey, [Write("plans", "gold", {"kind": "Plan", "name": "gold"})])
    assert penstock("backup", "there.backup", "--store", valkey).code == 0
    with running_valkey() as other:
        told = penstock("restore", "there.backup", "--store", other, "--json")
        assert told.code == 0, told.err
        assert held(other) == held(valkey)
        assert penstock("restore", "there.backup", "--store", other).code == 1


def test_messages_are_in_a_backup_when_they_are_asked_for(valkey: str) -> None:
    async def order(url: str) -> None:
        streams = open_streams(url)
        await streams.create_group("orders", "bill")
        await streams.append("orders", b"one")
        await streams.read("orders", "bill", "c")
        await streams.append("orders", b"two")
        await streams.close()

    async def left(url: str) -> list[tuple[bytes, int]]:
        streams = open_streams(url)
        try:
            found = await streams.read("orders", "bill", "d", 5, 3.0, lease_seconds=0.01)
            return sorted((each.payload, each.attempt) for each in found)
        except NotFound:
            return []
        finally:
            await streams.close()

    asyncio.run(order(valkey))
    for options, wanted in (([], []), (["--messages"], [b"two"])):
        assert penstock("backup", "there.backup", "--store", valkey, *options).code == 0
        with running_valkey() as other:
            assert penstock("restore", "there.backup", "--store", other).code == 0
            assert [payload for payload, _ in asyncio.run(left(other))] == wanted


def test_a_store_that_takes_no_writes_is_backed_up_all_the_same(valkey: str) -> None:
    write(valkey, [Write("plans", "gold", {})])
    with redis.Redis.from_url(valkey) as client:
        client.config_set("maxmemory", "1")
        assert penstock("backup", "there.backup", "--store", valkey).code == 0


def test_a_password_of_the_store_is_read_from_its_variable(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(valkey, [Write("plans", "gold", {})])
    with redis.Redis.from_url(valkey) as client:
        client.config_set("requirepass", "hush/hush")
        assert penstock("backup", "there.backup", "--store", valkey).code == 1
        monkeypatch.setenv("PENSTOCK_STORE_PASSWORD", "hush/hush")
        ran = penstock("backup", "there.backup", "--store", valkey)
        assert ran.code == 0, ran.err


def test_the_store_itself_needs_the_key_secret(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_KEY_SECRET")
    ran = penstock("backup", "there.backup", "--store", valkey)
    assert (ran.code, "PENSTOCK_KEY_SECRET" in ran.err) == (2, True)


def test_a_restore_that_is_killed_has_changed_nothing_and_the_next_one_does_all(valkey: str) -> None:
    """kill -9 while it is staged."""
    for start in range(0, 20_000, 1000):
        write(valkey, [Write("keys", f"k{n:06}", {"digest": "0" * 64}) for n in range(start, start + 1000)])
    assert penstock("backup", "there.backup", "--store", valkey).code == 0
    with running_valkey() as other, redis.Redis.from_url(other) as client:
        write(other, [Write("plans", "old", {})])
        before = held(other)
        command = [sys.executable, "-m", "gateway.cli.main", "restore", "there.backup", "--replace", "--store", other]
        started = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
        until(lambda: client.exists("{penstock}:r:t:keys") == 1, "it has begun")
        started.kill()
        started.wait()
        assert client.hlen("{penstock}:r:t:keys") < 20_000
        assert held(other) == before
        done = penstock("restore", "there.backup", "--replace", "--store", other, "--json")
        assert done.code == 0, done.err
        assert held(other) == held(valkey)
        assert not list(client.scan_iter("{penstock}:r*"))


def write(url: str, writes: list[Write]) -> None:
    async def commit() -> None:
        store = open_store(url)
        await store.commit(writes)
        await store.close()

    asyncio.run(commit())


def held(url: str) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        store = open_store(url)
        found = {table: {key: r.value async for key, r in store.scan(table)} for table in await store.sizes()}
        await store.close()
        return found

    return asyncio.run(read())
