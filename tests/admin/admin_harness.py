"""The admin REST in this process: a real service over a store, a node whose workers are pretended, requests by ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from gateway.admin.access import Access
from gateway.admin.app import Admin
from gateway.admin.attempts import Attempts
from gateway.admin.changes import Resolver
from gateway.admin.publishing import Publisher
from gateway.admin.service import Service
from gateway.consumers.tokens import create_token
from gateway.core.clock import Clock, ManualClock
from gateway.core.errors import StoreUnavailable
from gateway.core.secrets import KeyHasher, Secret
from gateway.live.dry import dry_build
from gateway.manifest.bundle import Table
from gateway.server.control import Control
from gateway.server.crew import NotServed
from gateway.server.kinds import BACKEND_KINDS, POLICY_KINDS
from gateway.server.last_known_good import Shelf
from gateway.server.parts import read_snapshot
from gateway.snapshot.spec import VersionSpec
from gateway.store.memory import MemoryStore
from gateway.store.memory_streams import MemoryStreams
from gateway.store.store import Store, Value, Write

PREFIX = "/admin/v1"
YAML = {"Content-Type": "application/yaml"}
HIDDEN = "planted-secret-of-the-environment"

SHOP = """\
kind: ApiComponent
name: {name}
version: v1
base_path: /{name}/{{version}}
operations:
  greet:
    effect: safe
    input: {{who: string}}
    output: string
    fixed: {text}
policies:
  - {{id: keys, use: api-key}}
rest:
  GET /greet/{{who}}: greet
soap: {{namespace: "urn:example:{name}", operations: [greet]}}
"""
POLICY = """\
kind: Policy
name: {name}
steps:
  - {{id: team, use: headers, with: {{request: {{set: {{X-Team: {team}}}}}}}}}
"""
PLAN = """\
kind: Plan
name: gold
policies:
  - {id: minute, use: rate-limit, with: {limit: 10/1m, by: application}}
"""
TOPIC = """\
kind: Topic
name: events
message: {type: object, properties: {id: {type: integer}}, required: [id], additionalProperties: false}
"""

POLICY_KINDS.load()  # as the control process does once it is up


def shop(name: str = "shop", text: str = "hello") -> str:
    return SHOP.format(name=name, text=text)


def policy(name: str = "team", team: str = "blue") -> str:
    return POLICY.format(name=name, team=team)


class Away:
    """A store that can be taken away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False
        self.before_commit: Any = None

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StoreUnavailable("The store does not answer.")
        return getattr(self._store, name)

    async def commit(self, writes: Sequence[Write], audit: Value | None = None) -> int:
        if self.before_commit is not None:
            await self.before_commit(writes)
        return await self._get("commit")(writes, audit)  # type: ignore[no-any-return]

    def _get(self, name: str) -> Any:
        return self.__getattr__(name)


def _readable(path: Path) -> None:
    read_snapshot(path)


class PretendedCrew:
    """Two workers that serve whatever they get; `wrong` is what they say instead of preparing."""

    def __init__(self) -> None:
        self.size = 2
        self.wrong = ""
        self.served: list[str] = []

    async def prepare(self, _hash: str, path: Path) -> None:
        _readable(path)
        if self.wrong:
            raise NotServed(self.wrong)

    async def activate(self, hash: str, path: Path) -> None:
        _readable(path)
        self.served.append(hash)

    def problems(self) -> list[str]:
        return []

    def steps(self) -> int:
        """Nothing here takes long."""
        return 0

    async def settle(self) -> None:
        """Workers would say that they know it."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """What workers are told and need not answer."""
        assert name in {"directory", "change", "heard", "forget", "idle"}, name
        return lambda *_told: None


async def _no_tables(_url: str, _table: str) -> Table:
    raise AssertionError("nothing here has tables")


class Bench:
    """One node with its admin REST. `tokens` has a plaintext per role."""

    def __init__(self, store: Store, folder: Path, clock: Clock, name: str = "n1") -> None:
        self.store = Away(store)
        self.clock = clock
        self.crew = PretendedCrew()
        self.hasher = KeyHasher(Secret("the cluster's own"))
        self.streams = MemoryStreams(clock)
        self.control = Control(
            name=name, store=self.store, crew=self.crew, shelf=Shelf(folder / name), clock=clock,  # type: ignore[arg-type]
            values={}, kinds=POLICY_KINDS, backend_kinds=BACKEND_KINDS, probe=self._probe,
            facts={"url": "http://127.0.0.1:1", "version": "test", "pid": 1},
        )  # fmt: skip
        self.secrets = {"erp": Secret(HIDDEN)}
        self.service = Service(
            node=self.control, store=self.store, streams=self.streams,
            publisher=Publisher(self.store, self.control, clock), resolver=Resolver({}, _no_tables, {}),
            kinds=POLICY_KINDS, backend_kinds=BACKEND_KINDS, hasher=self.hasher, clock=clock,
            rehearse=lambda snapshot, places: dry_build(snapshot, places, POLICY_KINDS, BACKEND_KINDS, self.secrets),
        )  # fmt: skip
        self.tokens: dict[str, str] = {}
        self.admin = Admin(
            self.service, Access(self.store, self.hasher, clock), lambda: [], attempts=Attempts(clock, 10**6)
        )
        self.app = self.admin.app()
        self.routed = self.admin.routed()
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), base_url="http://admin")

    async def _probe(self, versions: Sequence[VersionSpec]) -> None:
        """Nothing listens here."""

    async def start(self) -> None:
        await self.control.start()
        for role in ("viewer", "publisher", "policy-editor", "operator", "admin"):
            self.tokens[role] = await self.token(role)

    async def close(self) -> None:
        await self.client.aclose()
        await self.control.close()

    async def token(self, *roles: str, components: Sequence[str] | None = None, ends: float | None = None) -> str:
        made = await create_token(
            self.store, self.hasher, self.clock, name="-".join(roles), roles=roles, components=components, ends=ends,
            actor="test",
        )  # fmt: skip
        return made[1]

    async def send(
        self, method: str, path: str, token: str | None = "admin", headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        """`token` is a role, a plaintext, or None for no credential. Without a condition what is written is what is
        there; `bare` sends none."""
        sent = dict(headers or {})
        bare = more.pop("bare", False)
        if token is not None:
            sent["Authorization"] = f"Bearer {self.tokens.get(token, token)}"
        if (
            method in {"PUT", "PATCH", "DELETE"}
            and not bare
            and not {"if-match", "if-none-match"} & {*map(str.lower, sent)}
        ):
            there = (
                method != "PUT"
                or (await self.client.get(PREFIX + path.partition("?")[0], headers=sent)).status_code != 404
            )
            sent |= {"If-Match": "*"} if there else {"If-None-Match": "*"}
        return await self.client.request(method, PREFIX + path, headers=sent, **more)

    async def apply(self, *documents: str, token: str = "admin", **query: Any) -> httpx2.Response:
        text = "---\n".join(documents)
        return await self.send("POST", "/apply", token, YAML, content=text, params=query)

    async def dump(self) -> str:
        """Everything that the store holds, and the audit, as text."""
        found = [f"{change}" for change in await self.store.changes(0)]
        return "\n".join([*found, *(str(entry) for entry in await self.store.audit(1000))])


@asynccontextmanager
async def bench(folder: Path, store: Store | None = None, clock: Clock | None = None) -> AsyncIterator[Bench]:
    clock = clock or ManualClock()
    made = Bench(store or MemoryStore(clock), folder, clock)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem details of a refusal (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told["type"].startswith("urn:penstock:problem:")
    return told
