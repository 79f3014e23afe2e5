"""Probes as a kubelet asks them: startup first, then liveness and readiness side by side, each with its thresholds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.charts.run.containers import Container
from tests.charts.run.network import connect_in
from tests.charts.run.rendered import Object

_MANY: Final = 65536


@dataclass
class Target:
    """Where a container's probes go: from the node's namespace to the pod's address."""

    node: str
    address: str
    ports: dict[str, int]
    container: Container

    def port(self, given: str | int) -> int:
        return given if isinstance(given, int) else self.ports[given]


class Probe:
    """One probe of one started container; `state` is None until a threshold was reached."""

    def __init__(self, spec: Object, target: Target) -> None:
        self.spec, self.target = spec, target
        self.period = float(spec.get("periodSeconds", 10))
        self.timeout = float(spec.get("timeoutSeconds", 1))
        self.due = time.monotonic() + float(spec.get("initialDelaySeconds", 0))
        self.state: bool | None = None
        self.said = ""
        self._row = (False, 0)

    def ask(self) -> bool | None:
        """Asks once, and counts: True or False at the threshold's end, None before it."""
        self.due = time.monotonic() + self.period
        passed, self.said = self._once()
        same, count = self._row
        self._row = (passed, count + 1 if same == passed else 1)
        needed = self.spec.get("successThreshold", 1) if passed else self.spec.get("failureThreshold", 3)
        if self._row[1] >= needed:
            self.state = passed
            return passed
        return None

    def _once(self) -> tuple[bool, str]:
        try:
            if found := self.spec.get("httpGet"):
                return self._http(found)
            if found := self.spec.get("tcpSocket"):
                connect_in(
                    self.target.node, (self.target.address, self.target.port(found["port"])), self.timeout
                ).close()
                return True, "connected"
            code, said = self.target.container.execute(self.spec["exec"]["command"], self.timeout)
        except (OSError, ValueError) as error:
            return False, repr(error)
        return code == 0, f"exit code {code}: {said.strip()}"

    def _http(self, found: Object) -> tuple[bool, str]:
        """A status from 200 to 399 passes."""
        assert found.get("scheme", "HTTP") == "HTTP", "this run asks no probe over TLS"
        address = self.target.address, self.target.port(found["port"])
        fields = "".join(f"{each['name']}: {each['value']}\r\n" for each in found.get("httpHeaders") or [])
        head = f"GET {found.get('path', '/')} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n{fields}"
        with contextlib.closing(connect_in(self.target.node, address, self.timeout)) as connection:
            connection.sendall(f"{head}User-Agent: kube-probe\r\nConnection: close\r\n\r\n".encode())
            reply = connection.recv(_MANY)
        status = int(reply[9:12])
        return 200 <= status < 400, reply.decode(errors="replace")


@dataclass
class Outcome:
    """What the probes of a container say: whether it has started, is ready, and has to be restarted."""

    started: bool
    ready: bool
    failed: str = ""


class Probes:
    """All of one started container; `turn` asks what is due."""

    def __init__(self, container: Object, target: Target) -> None:
        def made(name: str) -> Probe | None:
            return Probe(container[name], target) if container.get(name) else None

        self.startup, self.live, self.ready = made("startupProbe"), made("livenessProbe"), made("readinessProbe")
        self.log: list[tuple[float, str, bool, str]] = []

    def turn(self) -> Outcome:
        now = time.monotonic()
        if self.startup is not None and self.startup.state is not True:
            if now >= self.startup.due and self._ask("startup", self.startup) is False:
                return Outcome(False, False, f"startup: {self.startup.said}")
            return Outcome(self.startup.state is True, False)
        if self.ready is not None and now >= self.ready.due:
            self._ask("readiness", self.ready)
        if self.live is not None and now >= self.live.due and self._ask("liveness", self.live) is False:
            return Outcome(True, False, f"liveness: {self.live.said}")
        return Outcome(True, self.ready is None or self.ready.state is True)

    def _ask(self, name: str, probe: Probe) -> bool | None:
        told = probe.ask()
        self.log.append((time.monotonic(), name, probe._row[0], probe.said))
        return told


def wait(condition: Callable[[], bool], seconds: float, what: Callable[[], str] | str) -> float:
    """Seconds until it holds. AssertionError after so many."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)
    return time.monotonic() - began
