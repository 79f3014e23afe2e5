"""The border to redis-py: connecting by URL, running scripts, and every foreign error mapped to StoreUnavailable.

URLs are read by `store.address`.
Commands are never retried here: a commit whose answer was lost may have been applied, and only the caller can tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha1
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from gateway.core.errors import StoreUnavailable
from gateway.store.address import Address, checked, shown
from gateway.store.numbers import CONTROL
from gateway.store.sentinel import Following, close_client, master_client

TIMEOUT: Final = 2.0  # seconds for one command of the control plane
_AT_ONCE: Final = 32  # connections for commands that do not wait in the server

Argument = str | bytes | int | float


class Script:
    """A Lua script with its hash; loaded into a server when that says NOSCRIPT."""

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()


def is_cluster(url: str) -> bool:
    return urlsplit(url).scheme.endswith("+cluster")


def unavailable(url: str, error: BaseException) -> StoreUnavailable:
    """A Problem that a client may see: what the server answered is told by its kind (OutOfMemoryError, ReadOnlyError);
    where the store is stands in a note, for logs and tracebacks only."""
    kind = str(error).split(" ")[0] if type(error) is ResponseError else type(error).__name__
    told = f"answered {kind}" if isinstance(error, ResponseError) else "cannot be reached"
    problem = StoreUnavailable(f"The store {told}. Check that it runs and has room, and what --store names.")
    problem.add_note(f"store: {shown(url)}: {error or type(error).__name__}")
    return problem


@contextmanager
def border(url: str, timed: bool = True) -> Iterator[None]:
    """Maps what redis-py and sockets raise, and counts. `timed` False: the command waits in the server."""
    began = time.perf_counter()
    try:
        yield
    except (RedisError, RedisClusterException, OSError, EOFError) as error:
        CONTROL.failed(str(error).split(" ")[0][:40] if type(error) is ResponseError else type(error).__name__)
        raise unavailable(url, error) from error
    CONTROL.operations += 1
    if timed:
        CONTROL.took(time.perf_counter() - began)


class Client:
    """Raw commands on a server or a cluster. Keys of one command or script share a hash tag."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self.url = url
        self._address = Address.of(url)
        self._timeout = timeout
        self._client: Any = None
        self._waiting: Any = None
        self._following = self._following_waiting = Following(None)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def execute(self, *command: Argument) -> Any:
        """One command's reply as redis-py gives it for RESP2."""
        with border(self.url):
            async with self._turn():
                client = await self._connected()
                return await client.execute_command(*command)

    async def block(self, seconds: float, *command: Argument) -> Any:
        """A command that waits in the server, for up to `seconds` by its own arguments."""
        if self._waiting is None:
            self._waiting = _connect(self._address, self._timeout)
            self._following_waiting = Following(self._waiting)
        with border(self.url, timed=False):
            async with asyncio.timeout(seconds + self._timeout):
                await self._following_waiting.look()
                return await self._waiting.execute_command(*command)

    async def info(self) -> list[dict[str, str]]:
        """INFO of the server, or of every primary of the cluster."""
        return list((await self.told()).values())

    async def told(self) -> dict[str, dict[str, str]]:
        """INFO, by the name of the server; one that is alone has none."""
        return {name: _told(info) for name, info in (await self._each("INFO")).items()}

    async def configured(self, setting: str) -> dict[str, str]:
        """A setting of every server's configuration, likewise; without those that do not have it."""
        answers = {name: _told(found) for name, found in (await self._each("CONFIG GET", setting)).items()}
        return {name: found[setting] for name, found in answers.items() if setting in found}

    async def ping(self, name: str) -> None:
        """Of the server of that name."""
        with border(self.url):
            async with self._turn():
                client = await self._connected()
                where = {"target_nodes": client.get_node(node_name=name)} if name else {}
                await client.execute_command("PING", **where)

    async def _each(self, *command: Argument) -> dict[str, Any]:
        with border(self.url):
            async with self._turn():
                client = await self._connected()
                if not is_cluster(self.url):
                    return {"": await client.execute_command(*command)}
                return dict(await client.execute_command(*command, target_nodes=RedisCluster.PRIMARIES))

    async def slots(self) -> list[tuple[int, int, tuple[str, int]]]:
        """A cluster's slots: first, last, and where their primary listens."""
        with border(self.url):
            async with self._turn():
                cluster = await self._connected()
                answer = await cluster.execute_command("CLUSTER SLOTS", target_nodes=RedisCluster.RANDOM)
        return [(first, last, tuple(found["primary"][:2])) for (first, last), found in answer.items()]

    async def keys(self, pattern: str, like: str | None = None) -> AsyncIterator[str]:
        """The names of keys that match a glob; in no particular order. `like` is a key whose slot has all of them: only
        its primary is asked then. Goes through every key of the server, so not for what is asked often."""
        for node in await self._primaries(like):
            cursor, seen = 0, set[bytes]()
            while True:
                found = await self._scanned(node, cursor, pattern)
                cursor = found[0]
                for name in found[1]:
                    if name not in seen:
                        seen.add(name)
                        yield name.decode()
                if cursor == 0:
                    break

    async def _primaries(self, like: str | None) -> list[Any]:
        if not is_cluster(self.url):
            return [None]
        await self.slots()  # the client has read the map then
        client = await self._connected()
        return [client.get_node_from_key(like)] if like is not None else list(client.get_primaries())

    async def _scanned(self, node: Any, cursor: int, pattern: str) -> tuple[int, list[bytes]]:
        where = {} if node is None else {"target_nodes": node}
        with border(self.url):
            async with self._turn():
                told = ("SCAN", cursor, "MATCH", pattern, "COUNT", 2000)
                client = await self._connected()
                after, found = await client.execute_command(*told, **where)
        if isinstance(after, dict):  # a cluster's, by node
            (after,) = after.values()
        return int(after), list(found)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """A script's raw reply. A script that ends in an error raises StoreUnavailable, as its text cannot help."""
        with border(self.url):
            async with self._turn():
                client = await self._connected()
                try:
                    return await client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
                except NoScriptError:
                    return await client.execute_command("EVAL", script.source, len(keys), *keys, *arguments)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Among the commands that are sent at once, and with an end."""
        async with asyncio.timeout(self._timeout * 2), self._turns, asyncio.timeout(self._timeout):
            yield

    async def _connected(self) -> Any:
        if self._client is None:
            self._client = _connect(self._address, self._timeout)
            self._following = Following(self._client)
        await self._following.look()
        return self._client

    async def close(self) -> None:
        clients, self._client, self._waiting = (self._client, self._waiting), None, None
        for client in clients:
            if client is not None:
                await close_client(client)


def _told(info: dict[str, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in info.items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _connect(address: Address, connect_timeout: float) -> Any:
    """Without a time for each command: redis-py bounds what it sends by `asyncio.wait_for`, which before Python 3.12
    forgets a cancellation that comes with the result, so that a task which was to end goes on."""
    options: dict[str, Any] = {"socket_connect_timeout": connect_timeout, "socket_timeout": None, "protocol": 2}
    if address.kind == "cluster":
        return _connect_cluster(address, options)
    options["retry"] = Retry(NoBackoff(), 0)
    if address.kind == "sentinel":
        return master_client(address, **options)
    if address.path:
        return Redis(unix_socket_path=address.path, **address.options, **options)
    ((host, port),) = address.servers
    return Redis(host=host, port=port, ssl=address.tls, **address.options, **options)


def _connect_cluster(address: Address, options: dict[str, Any]) -> Any:
    nodes = [ClusterNode(host, port) for host, port in address.servers]
    options["max_connections"] = 100_000  # waiting commands hold one each; the others are bounded by _AT_ONCE
    return RedisCluster(startup_nodes=nodes, ssl=address.tls, retry=Retry(NoBackoff(), 1), **address.options, **options)


__all__ = ["Argument", "Client", "ResponseError", "Script", "border", "checked", "is_cluster", "shown", "unavailable"]
