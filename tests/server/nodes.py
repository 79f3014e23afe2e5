"""Gateways as processes of their own: started as people start them, asked through their ports, killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx2

from gateway.store.embedded import EmbeddedStore

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WAIT = 60.0  # seconds that only a failing test reaches

SHOP = """
kind: ApiComponent
name: shop
version: v1
base_path: /shop/{version}
operations:
  who: {python: who}
  gate: {python: gate}
  bill: {python: bill}
policies:
  - {id: keys, use: api-key}
  - house-rules
rest:
  GET /who: who
  GET /gates/{name}: gate
  POST /orders: {call: {topic: orders}}
  GET /limited: {call: who, policies: [{id: day, use: rate-limit, with: {limit: 100/1d, by: application}}]}
  GET /open: {call: who, policies: [{id: o, use: rate-limit, with: {limit: 9/1s, on_store_loss: open}}]}
  GET /closed: {call: who, policies: [{id: c, use: rate-limit, with: {limit: 9999/1s, on_store_loss: closed}}]}
listeners:
  bill: {topic: orders, concurrency: 1}
"""
TOPIC = "{kind: Topic, name: orders, message: {type: object, properties: {id: {type: integer}}, required: [id]}}"
RULES = """
kind: Policy
name: house-rules
steps: [{{id: mark, use: headers, with: {{response: {{set: {{X-Mark: "{}"}}}}}}}}]
"""


def rules(mark: str) -> str:
    """The named policy that every endpoint of the shop has: it marks replies."""
    return RULES.format(mark)


def documents(*parts: str) -> bytes:
    return "\n---\n".join(parts).encode()


def until(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives once it is true; the bound is reached by a failure only."""
    end = time.monotonic() + WAIT
    while not (found := _tried(condition)):
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(0.01)
    return found


def _tried(condition: Callable[[], Any]) -> Any:
    with contextlib.suppress(httpx2.TransportError):
        return condition()


def client(**options: Any) -> httpx2.Client:
    """Without TLS, whose certificates take longer to read than a request takes."""
    return httpx2.Client(verify=False, trust_env=False, timeout=WAIT, **options)


def ask(method: str, url: str, **options: Any) -> httpx2.Response:
    """On a connection of its own, so that any worker may answer."""
    with client() as asking:
        return asking.request(method, url, **options)


class Node:
    """`penstock serve` in a folder of its own, on free ports. Its log is `log` in the folder; use it as a context."""

    def __init__(self, folder: Path, *options: str, workers: int = 2, **environment: str) -> None:
        self.folder = folder
        self.data = folder / "var"
        self.files = folder / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self.options = ["--data", str(self.data), "--workers", str(workers), *options]
        self.workers = workers
        self.environment = environment
        self.url = self.admin_url = self.token = ""
        self.said: list[str] = []
        self._heard = threading.Condition()

    # its life

    def launch(self, *more: str) -> None:
        """Starts it, and does not wait."""
        ports = [] if "--port" in more or "--admin-port" in more else ["--port", "0", "--admin-port", "0"]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PYTHONPATH": f"{ROOT}:{HERE}",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "400",
            "NODE_FILES": str(self.files),
            "PENSTOCK_DRAIN_DELAY": "0",
            **self.environment,
        }
        self.said = []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli.main", "serve", *ports, *self.options, *more],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=self.folder,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._heard:
                    self.said.append(line.rstrip())
                    self._heard.notify_all()
        with self._heard:
            self._heard.notify_all()

    def start(self, *more: str) -> Self:
        """Starts it, and waits until it is ready with all workers."""
        self.launch(*more)
        self.connect()
        return self

    def connect(self) -> None:
        """Waits until the one that was launched is ready with all workers."""
        self.url = self.line(r"gateway +(\S+)")
        self.admin_url = self.line(r"admin +(\S+)")
        self.token = self.context()["token"]
        until(lambda: self.health().get("workers") == self.workers, "every worker is there")

    def line(self, pattern: str) -> str:
        """The first group of the first line of its output that matches."""
        with self._heard:
            self._heard.wait_for(lambda: self._found(pattern) or not self._reader.is_alive(), WAIT)
        match = self._found(pattern)
        assert match, f"it did not say {pattern}: {self.said} {self.log.read_text()[-3000:]}"
        return match[1]

    def _found(self, pattern: str) -> re.Match[str] | None:
        return next((match for line in list(self.said) if (match := re.match(pattern, line))), None)

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(WAIT)
        self._reader.join(WAIT)
        return code

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                for pid in self.pids():
                    os.kill(pid, signal.SIGKILL)
                self.process.kill()
                self.process.wait()
        self._reader.join(WAIT)

    def context(self) -> dict[str, Any]:
        import orjson

        found: dict[str, Any] = orjson.loads((self.data / "context.json").read_bytes())
        return found

    def logged(self, text: str) -> bool:
        return text in self.log.read_text()

    # its processes

    def pids(self, what: str = "") -> list[int]:
        """Its living children; `what` stands in their command lines."""
        return [pid for pid, state, line in children_of(self.process.pid) if state != "Z" and what in line]

    def zombies(self) -> list[int]:
        return [pid for pid, state, _ in children_of(self.process.pid) if state == "Z"]

    def workers_pids(self) -> list[int]:
        return self.pids("gateway.server.worker")

    def control_pid(self) -> int:
        (pid,) = self.pids("gateway.server.control_process")
        return pid

    def store_pid(self) -> int:
        (pid,) = self.pids("-server ")
        return pid

    @property
    def store_url(self) -> str:
        """Its embedded store's."""
        return EmbeddedStore(self.data).url

    # its ports

    def admin(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}", "If-Match": "*", **options.pop("headers", {})}
        return ask(method, f"{self.admin_url}/admin/v1{path}", headers=headers, **options)

    def health(self) -> dict[str, Any]:
        """`ready` and `store`; more about the node while its store is there to prove the token."""
        found: dict[str, Any] = self.admin("GET", "/health").json()
        return found

    def apply(self, *parts: str, **query: str) -> httpx2.Response:
        return self.admin(
            "POST", "/apply", content=documents(*parts), params=query, headers={"Content-Type": "application/yaml"}
        )

    def publish_shop(self, mark: str = "one") -> None:
        found = self.apply(TOPIC, rules(mark), SHOP)
        assert found.status_code == 200, found.text

    def key(self, application: str = "partner") -> str:
        made = self.admin("POST", "/applications", json={"name": application})
        assert made.status_code in {201, 409}, made.text
        made = self.admin("POST", "/keys", json={"application": application, "api": "shop"})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def get(self, path: str, key: str = "", **options: Any) -> httpx2.Response:
        headers = {"X-API-KEY": key} if key else {}
        return ask("GET", f"{self.url}{path}", headers=headers, **options)

    def order(self, key: str, id: int) -> httpx2.Response:
        return ask("POST", f"{self.url}/shop/v1/orders", json={"id": id}, headers={"X-API-KEY": key})

    # what its processes wrote

    def noted(self, name: str) -> bool:
        return (self.files / name).exists()


def children_of(parent: int) -> Iterator[tuple[int, str, str]]:
    """(process id, state, command line) of its children."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(ppid) == parent:
                    yield int(entry.name), state, (entry / "cmdline").read_text().replace("\0", " ")


def alive(pid: int) -> bool:
    """It runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def gone(*pids: int) -> None:
    """Waits until they have ended."""
    until(lambda: not any(alive(pid) for pid in pids), f"{pids} have ended")


@contextlib.contextmanager
def serving_the_shop(folder: Path, *options: str, **settings: str) -> Iterator[Node]:
    """A node of two workers on which the shop is live."""
    with Node(folder, "--processes", "node_processes", *options, workers=2, **settings) as node:
        node.start()
        node.publish_shop()
        yield node
