"""The isolated runtime of policies: an OS process that imports a package and runs its policies for the workers.

What it does wrong hurts nobody else: a policy that fails is answered as failed, one that hangs or kills the process is
refused with 503 by the workers until the supervisor has started another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gateway.core.errors import Problem
from gateway.core.policy_code import Request, Response
from gateway.runtime.frames import BadFrame, Frames, pack
from gateway.runtime.policies import PythonPolicy
from gateway.runtime.policy_messages import (
    edits_message,
    request_from,
    response_edits,
    response_from,
    response_message,
)
from gateway.runtime.problem_messages import problem_message

log: Final = logging.getLogger("gateway.runtime")


Key = tuple[str, str]  # of a policy and the digest of its configuration


class Unfit(ValueError):
    """A configuration that the policy does not take."""


class Host:
    """The policies of one package. `limit` bounds bodies in bytes. Instances are made once for each configuration,
    and kept as long as a worker has a step with it."""

    def __init__(self, policies: Mapping[str, PythonPolicy], limit: int) -> None:
        self._policies = policies
        self._limit = limit
        self._instances: dict[Key, Any] = {}
        self._holders: dict[Key, set[_Connection]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, path: Path) -> asyncio.Server:
        """Serves on a unix socket for this user alone."""
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - nothing runs yet
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Connection(self, self._limit), path)
        path.chmod(0o600)  # noqa: ASYNC240 - nothing runs yet
        return server

    @property
    def configurations(self) -> list[Key]:
        """Those that are kept."""
        return sorted(self._instances)

    def made(self, name: str, config: Mapping[str, Any]) -> Any:
        """An instance for a configuration. Unfit says why it cannot be."""
        policy = self._policies[name]
        try:
            return policy.make(policy.config.model_validate(config))
        except ValidationError as error:
            told = (f"{'.'.join(map(str, each['loc'])) or 'config'}: {each['msg']}" for each in error.errors())
            raise Unfit("; ".join(told)) from None
        except Exception as error:
            raise Unfit(f"{type(error).__name__}: {error}") from error

    def handle(self, connection: _Connection, told: Mapping[str, Any], body: bytes) -> None:
        """One message of a worker; what waits becomes a task."""
        do = told["do"]
        if do in {"make", "check"}:
            self._make(connection, told, do == "make")
            return
        if do == "drop":
            self._drop(connection, (told["policy"], told["config"]))
            return
        task = asyncio.get_running_loop().create_task(self._run(connection, told, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _make(self, connection: _Connection, told: Mapping[str, Any], keep: bool) -> None:
        key = told["policy"], told["config"]
        try:
            if not keep or key not in self._instances:
                made = self.made(told["policy"], told["settings"])
                if keep:
                    self._instances[key] = made
        except (Unfit, KeyError) as error:
            connection.answer({"id": told["id"], "unfit": str(error)})
        else:
            if keep:
                self._holders.setdefault(key, set()).add(connection)
            connection.answer({"id": told["id"]})

    def _drop(self, connection: _Connection, key: Key) -> None:
        """A worker has no step with that configuration any more; what runs still has its instance."""
        holders = self._holders.get(key, set())
        holders.discard(connection)
        if not holders:
            self._holders.pop(key, None)
            self._instances.pop(key, None)

    def left(self, connection: _Connection) -> None:
        """A worker is gone."""
        for key in [key for key, holders in self._holders.items() if connection in holders]:
            self._drop(connection, key)

    async def _run(self, connection: _Connection, told: Mapping[str, Any], body: bytes) -> None:
        try:
            answer, content = await self._answer(told, body)
        except Problem as problem:
            answer, content = {"problem": problem_message(problem)}, b""
        except Exception as error:
            log.error("request %s: the policy %s failed", told["request"].get("id"), told["policy"], exc_info=error)
            answer, content = {"failed": type(error).__name__}, b""
        connection.answer({"id": told["id"], **answer}, content)

    async def _answer(self, told: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        policy = self._policies[told["policy"]]
        instance = self._instances[told["policy"], told["config"]]
        if told["do"] == "request":
            return await self._request(policy, instance, request_from(told["request"], body))
        response = response_from(told["response"], body)
        instance.response(request_from({**told["request"], "body": False}, b""), response)
        return {"response": response_edits(response)}, response.body or b""

    async def _request(self, policy: PythonPolicy, instance: Any, request: Request) -> tuple[dict[str, Any], bytes]:
        response = instance.request(request)
        if policy.asynchronous:
            async with asyncio.timeout(policy.mark.timeout):
                response = await response
        if isinstance(response, Response):
            return {"reply": response_message(response)}, response.body or b""
        if response is not None:
            raise TypeError(f"request() returned {type(response).__name__}, not a Response or None")
        return {"edits": edits_message(request)}, request.body or b""


class _Connection(asyncio.Protocol):
    """One worker's."""

    def __init__(self, host: Host, limit: int) -> None:
        self._host = host
        self._frames = Frames(limit)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for told, body in self._frames.feed(data):
                self._host.handle(self, told, body)
        except (BadFrame, KeyError):
            log.exception("a worker sent what is no message")
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self._host.left(self)

    def answer(self, message: Mapping[str, Any], body: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pack(message, body))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
