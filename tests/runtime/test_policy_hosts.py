"""What an isolated runtime keeps: an instance for each configuration that a worker has a step with, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from gateway import Request, policy_kind
from gateway.core.kinds import Services
from gateway.runtime.host import Host
from gateway.runtime.hosted_policies import hosted_kind
from gateway.runtime.hosts import CheckingHosts, Hosted, WorkerHosts
from gateway.runtime.policies import read_policy
from tests.policy.policy_harness import Gateway
from tests.relay.upstream_harness import until


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    word: str = "none"


@policy_kind("say")
class Say:
    """Says a word."""

    def __init__(self, config: Word) -> None:
        self.word = config.word

    def request(self, request: Request) -> None:
        request.headers.set("X-Word", self.word)


class Runtime:
    """A host, and workers that have steps in it."""

    def __init__(self, path: Path) -> None:
        read = read_policy(Say, [])
        assert read is not None
        self.host = Host({"say": read}, 1000)
        self.hosted = (Hosted("own", str(path), (read.described(),)),)
        self.kind = hosted_kind("own", read.described())
        self.gateway = Gateway()

    def worker(self) -> WorkerHosts:
        return WorkerHosts(self.hosted, 1000)

    def step(self, worker: Any, word: str, closers: list[Callable[[], None]] | None = None) -> Any:
        site = self.gateway.site()
        site = replace(site, services=Services(worker), on_close=None if closers is None else closers.append)
        return self.kind.build(self.kind.config.model_validate({"word": word}), site)

    async def say(self, step: Any) -> str:
        told = await self.gateway.request(self.gateway.chain(step))
        assert told.status == 200, told.body
        return str(told.body)

    @property
    def kept(self) -> int:
        return len(self.host.configurations)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    made = Runtime(tmp_path / "h.sock")
    server = await made.host.listen(tmp_path / "h.sock")
    yield made
    server.close()


async def test_a_thousand_configurations_one_after_the_other_leave_one(runtime: Runtime) -> None:
    worker, before = runtime.worker(), list[Callable[[], None]]()
    for number in range(1000):
        closers: list[Callable[[], None]] = []
        assert f"w{number}" in await runtime.say(runtime.step(worker, f"w{number}", closers))
        for close in before:  # the version before is drained once the new one is live
            close()
        before = closers
    await until(lambda: runtime.kept == 1)
    assert len(worker._clients["own"]._settings) == 1
    await worker.close()


async def test_a_configuration_is_kept_as_long_as_one_step_of_one_worker_has_it(runtime: Runtime) -> None:
    workers = [runtime.worker(), runtime.worker()]
    closers: list[list[Callable[[], None]]] = [[], [], []]
    steps = [
        runtime.step(worker, "same", closing)
        for worker, closing in zip((workers[0], workers[0], workers[1]), closers, strict=True)
    ]
    for step in steps:
        await runtime.say(step)
    closers[0][0]()
    assert "same" in await runtime.say(steps[1])
    closers[1][0]()
    assert "same" in await runtime.say(steps[2])
    assert runtime.kept == 1
    closers[2][0]()
    await until(lambda: runtime.kept == 0)
    for worker in workers:
        await worker.close()


async def test_a_worker_that_is_gone_holds_nothing(runtime: Runtime) -> None:
    worker = runtime.worker()
    await runtime.say(runtime.step(worker, "mine", []))
    assert runtime.kept == 1
    await worker.close()
    await until(lambda: runtime.kept == 0)


async def test_a_configuration_that_is_only_checked_is_not_kept(runtime: Runtime) -> None:
    hosts = CheckingHosts(runtime.hosted)
    await asyncio.to_thread(hosts.prepare, "own", "say", "digest", {"word": "checked"})
    with pytest.raises(ValueError, match="word"):
        await asyncio.to_thread(hosts.prepare, "own", "say", "digest", {"word": 7})
    assert runtime.kept == 0
