"""The policy hosts of a node, as a service: what workers ask, and what the control process checks settings with."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.runtime.frames import BadFrame, Frame, Frames, pack
from gateway.runtime.host_client import HostClient

Deliver = Callable[[Frame | None], None]
PATIENCE: Final = 5.0  # seconds for a host to check settings


@dataclass(frozen=True, slots=True)
class Hosted:
    """A package whose policies run in a process of their own: its socket, and each policy as it describes itself."""

    package: str
    socket: str
    policies: tuple[Mapping[str, Any], ...]


class Hosts(ABC):
    @abstractmethod
    def prepare(self, package: str, policy: str, digest: str, settings: Mapping[str, Any]) -> None:
        """A step with these settings, which `digest` stands for, is built. ValueError: it does not take them."""

    @abstractmethod
    def release(self, package: str, policy: str, digest: str) -> None:
        """Such a step is gone, for which `prepare` was called."""

    @abstractmethod
    def call(self, package: str, message: Mapping[str, Any], body: bytes, timeout: float, deliver: Deliver) -> None:
        """Asks; `deliver` is called once, on the loop's thread, with None when there is no answer within `timeout`
        seconds."""


class WorkerHosts(Hosts):
    """One connection to each host. `limit` bounds bodies in bytes."""

    def __init__(self, hosted: tuple[Hosted, ...], limit: int) -> None:
        self._clients = {each.package: HostClient(each.socket, limit) for each in hosted}

    def prepare(self, package: str, policy: str, digest: str, settings: Mapping[str, Any]) -> None:
        self._clients[package].prepare(policy, digest, settings)

    def release(self, package: str, policy: str, digest: str) -> None:
        self._clients[package].release(policy, digest)

    def call(self, package: str, message: Mapping[str, Any], body: bytes, timeout: float, deliver: Deliver) -> None:
        self._clients[package].call(message, body, timeout, deliver)

    def samples(self, worker: str) -> dict[str, list[list[Any]]]:
        """See `telemetry.families`. A host that was not asked yet is not connected, and not told of."""
        used = {name: each for name, each in self._clients.items() if each.up or each.answers or each.unanswered}
        calls = [[name, "answered", each.answers] for name, each in used.items()]
        calls += [[name, "unanswered", each.unanswered] for name, each in used.items()]
        up = [[name, worker, int(each.up)] for name, each in used.items()]
        return {"penstock_policy_host_calls_total": calls, "penstock_policy_host_up": up}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


class CheckingHosts(Hosts):
    """Asks the host itself whether a policy takes its settings, and waits for that: used by threads that may."""

    def __init__(self, hosted: tuple[Hosted, ...]) -> None:
        self._sockets = {each.package: each.socket for each in hosted}

    def prepare(self, package: str, policy: str, digest: str, settings: Mapping[str, Any]) -> None:
        try:
            with Asking(self._sockets[package], 0) as host:
                told = host.ask({"do": "check", "policy": policy, "config": digest, "settings": settings})
        except (OSError, BadFrame) as error:
            raise ValueError(f"the runtime of {package} could not be asked about its settings: {error}") from None
        if "unfit" in told:
            raise ValueError(str(told["unfit"]))

    def release(self, package: str, policy: str, digest: str) -> None:
        """Nothing was kept."""

    def call(self, package: str, message: Mapping[str, Any], body: bytes, timeout: float, deliver: Deliver) -> None:
        raise NotImplementedError("nothing runs here")


class Asking:
    """A blocking connection to a host, for one question after the other. Use it as a context."""

    def __init__(self, path: str, limit: int) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(PATIENCE)
        self._frames = Frames(limit)
        self._path = path
        self._number = 0

    def __enter__(self) -> Asking:
        try:
            self._connection.connect(self._path)
        except OSError:
            self._connection.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """OSError or BadFrame when there is no answer."""
        self._number += 1
        self._connection.sendall(pack({"id": self._number, **message}))
        while data := self._connection.recv(65_536):
            for told, _ in self._frames.feed(data):
                return told
        raise BadFrame("it closed the connection")
