"""Real servers for tests: an embedded Valkey, and a cluster of three primaries on loopback. Import the fixtures.

`valkey` and `cluster` are started once per test process and shared; each test takes a keyspace of its own by `prefix`.
`embedded` gives a test a server that it may kill.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis

from gateway.store.embedded import EmbeddedStore, find_binary

SLOTS = 16384
_WAIT = 30.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition of another process, with a bound that only a failure reaches."""
    end = time.monotonic() + _WAIT
    while not condition():
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(0.005)


def free_port() -> int:
    """A loopback port whose cluster bus port (10,000 higher) is free, too."""
    while True:
        with socket.socket() as one, socket.socket() as two, contextlib.suppress(OSError, OverflowError):
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            two.bind(("127.0.0.1", port + 10_000))
            return port


def listens(path: Path) -> bool:
    """Whether a unix socket takes connections: it is there before it does."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.connect(str(path))
        return True
    return False


class Server:
    """A store server of the tests' own."""

    def __init__(self, folder: Path, *options: str, program: tuple[str, ...] = ()) -> None:
        """`program` in place of what makes it a store: a Sentinel's file."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(find_binary()), *(program or ("--dir", str(folder), "--save", "")), *options],
                stdout=log,
                stderr=log,
                cwd=folder,
            )

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _answers(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False


@contextlib.contextmanager
def running_valkey() -> Iterator[str]:
    """The URL of a server on a unix socket."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        path = f"{folder}/s"
        server = Server(Path(folder), "--port", "0", "--unixsocket", path)
        try:
            with redis.Redis.from_url(f"unix://{path}") as client:
                until(lambda: _answers(client), "the server answers")
            yield f"unix://{path}"
        finally:
            server.kill()


@contextlib.contextmanager
def running_cluster() -> Iterator[str]:
    """The URL of a cluster of three primaries."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder, contextlib.ExitStack() as stack:
        ports = []
        for number in range(3):
            port = free_port()
            options = ("--port", str(port), "--bind", "127.0.0.1", "--cluster-enabled", "yes")
            server = Server(Path(folder) / str(number), *options)
            stack.callback(server.kill)
            ports.append(port)
        clients = [stack.enter_context(redis.Redis(port=port)) for port in ports]
        for client in clients:
            until(lambda client=client: _answers(client), "a node answers")  # type: ignore[misc]
        _form(clients, ports)
        yield f"redis+cluster://127.0.0.1:{ports[0]}"


class Watched:
    """A master and its replica, watched by three Sentinels that agree by two. `url` is for a store behind them."""

    def __init__(self, folder: Path, password: str = "") -> None:
        self.folder = folder
        self.password = password
        self.ports = [free_port(), free_port()]
        self.watching = [free_port() for _ in range(3)]
        protected = ("--requirepass", password, "--masterauth", password) if password else ()
        plain = ("--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", *protected)
        replica = ("--replicaof", f"127.0.0.1 {self.ports[0]}")
        self.servers = [
            Server(folder / str(port), "--port", str(port), *plain, *more)
            for port, more in zip(self.ports, ((), replica), strict=True)
        ]
        until(lambda: self._says(self.ports[1], "master_link_status", "up"), "the replica follows")
        self.sentinels = [self._sentinel(port) for port in self.watching]
        for port in self.watching:
            until(lambda port=port: self._agrees(port), "the Sentinels know each other")  # type: ignore[misc]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.watching)}/shop/0"

    def client(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=self.password or None, decode_responses=True)

    def _says(self, port: int, name: str, value: str) -> bool:
        with self.client(port) as client, contextlib.suppress(redis.RedisError):
            return bool(client.info("replication").get(name) == value)
        return False

    def _sentinel(self, port: int) -> Server:
        folder = self.folder / str(port)
        folder.mkdir()
        file = folder / "sentinel.conf"
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"sentinel monitor shop 127.0.0.1 {self.ports[0]} 2",
            "sentinel down-after-milliseconds shop 400",
            "sentinel failover-timeout shop 3000",
            *([f"sentinel auth-pass shop {self.password}"] if self.password else []),
        ]
        file.write_text("\n".join(lines) + "\n")
        return Server(folder, program=(str(file), "--sentinel"))

    def _agrees(self, port: int) -> bool:
        with redis.Redis(port=port, decode_responses=True) as client, contextlib.suppress(redis.RedisError):
            state = client.sentinel_master("shop")
            return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)
        return False

    def is_master(self, number: int) -> bool:
        return self._says(self.ports[number], "role", "master")

    def close(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.kill()


@contextlib.contextmanager
def watched_by_sentinels(password: str = "") -> Iterator[Watched]:
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        watched = Watched(Path(folder), password)
        try:
            yield watched
        finally:
            watched.close()


def _form(clients: list[redis.Redis], ports: list[int]) -> None:
    edges = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
    for client, first, end in zip(clients, edges, edges[1:], strict=False):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
    for number, client in enumerate(clients, 1):
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number)
    for port in ports[1:]:
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
    for client in clients:
        until(lambda client=client: _formed(client), "the cluster has formed")  # type: ignore[misc]


def _formed(client: redis.Redis) -> bool:
    info = client.execute_command("CLUSTER", "INFO")
    told = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
    slots = client.execute_command("CLUSTER", "SLOTS")
    return told["cluster_state"] == "ok" and told["cluster_known_nodes"] == "3" and len(slots) == 3


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """URL of a server shared by the tests of this process."""
    with running_valkey() as url:
        yield url


@pytest.fixture(scope="session")
def sentinel() -> Iterator[str]:
    """URL of a master that Sentinels watch, shared by the tests of this process."""
    with watched_by_sentinels() as watched:
        yield watched.url


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """URL of a three-primary cluster shared by the tests of this process."""
    with running_cluster() as url:
        yield url


@pytest.fixture
def prefix() -> str:
    """A keyspace of the test's own."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    """A started embedded store of the test's own."""
    store = EmbeddedStore(tmp_path)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


async def kill_and_restart(store: EmbeddedStore) -> str:
    """kill -9 of the server's process, then a start on the same data."""
    assert store.pid is not None
    os.kill(store.pid, signal.SIGKILL)
    await store.ended()
    return await store.start()


def forget_scripts(url: str) -> None:
    """SCRIPT FLUSH on every server behind a URL, as a restart or a failover would do."""
    if url.startswith("redis+cluster"):
        with redis.RedisCluster.from_url(url.replace("+cluster", "")) as cluster_client:
            cluster_client.execute_command("SCRIPT FLUSH", target_nodes=redis.RedisCluster.PRIMARIES)
    else:
        with redis.Redis.from_url(url) as client:
            client.script_flush()
