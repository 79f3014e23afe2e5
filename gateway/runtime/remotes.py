"""The runtimes of a node: what they host, and the way of a call to the one that has the right code.

Code runs for a revision if it is what the revision was published with, or if its contract fits (`fitting`); the former
is preferred, wherever it is. Among several processes the one with the fewest calls under way is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.core.call import Call
from gateway.core.errors import BadGateway, InternalError, InvalidInput, Problem, Unavailable
from gateway.core.runtimes import RuntimeTarget
from gateway.core.secrets import Secret
from gateway.core.settings import Settings
from gateway.core.trace import CLIENT, CURRENT
from gateway.relay.names import Names
from gateway.runtime.call_messages import context_message, problem_from
from gateway.runtime.embedded import Runner
from gateway.runtime.fitting import Signed, differences
from gateway.runtime.remote import Remote
from gateway.runtime.remote_link import Link, Lost
from gateway.schema.json_codec import loads, reader, writer

log: Final = logging.getLogger("gateway.runtime")

PATIENCE: Final = 2.0  # seconds for which a call waits for a runtime that is away
WAITING: Final = 256  # calls that do so at a time
NONSENSE: Final = (ValueError, KeyError, TypeError, AttributeError)


class RuntimeUnavailable(Unavailable):
    """No process of a runtime that could run it is connected."""

    title, code = "No runtime can run it now", "runtime_unavailable"


class RuntimeLost(BadGateway):
    """It went away with the call."""

    title, code = "The runtime went away", "runtime_lost"


def largest_message(settings: Settings) -> int:
    """Bytes of one output: JSON may take four times what a body had."""
    return max(64 * 1024 * 1024, 4 * settings.largest_body)


class Remotes:
    """`limit` bounds one output in bytes. `changed` is called when what is connected changes."""

    def __init__(
        self,
        targets: Sequence[RuntimeTarget],
        token: Secret | None,
        limit: int,
        names: Names,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self.turn = 0  # of what is connected
        self.calls: Counter[tuple[str, str]] = Counter()  # of a runtime and an outcome
        self.waiting = 0
        self._changed = changed
        self._news = asyncio.Event()
        self._remotes = [Remote(each, token, limit, names, self._turn) for each in targets]

    def __iter__(self) -> Iterator[Remote]:
        return iter(self._remotes)

    def __len__(self) -> int:
        return len(self._remotes)

    def start(self) -> None:
        for each in self._remotes:
            each.start()

    def _turn(self) -> None:
        self.turn += 1
        news, self._news = self._news, asyncio.Event()
        news.set()
        if self._changed is not None:
            self._changed()

    async def news(self, seconds: float) -> None:
        """Until something changes, or so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def all_known(self, seconds: float) -> None:
        """Until each has told what it hosts, or so many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while any(not each.links for each in self._remotes) and (left := end - loop.time()) > 0:
            await self.news(left)

    def described(self) -> dict[str, Mapping[str, Any]]:
        """What is published with: of each process the code of the first runtime that hosts it, as its process that
        started last has it."""
        found: dict[str, Mapping[str, Any]] = {}
        for remote in self._remotes:
            for link in sorted(remote.links, key=lambda each: float(each.told["started"]), reverse=True):
                for name, described in link.described.items():
                    found.setdefault(name, described)
        return found

    def away(self) -> list[str]:
        """A sentence for each that cannot be asked."""
        return [
            f"The runtime {each.target.name} ({each.target.place}) cannot be asked: {each.trouble}."
            for each in self._remotes
            if not each.links
        ]

    def runner(self, name: str, published: Signed, here: Runner | None = None) -> Runner:
        """Runs the process `name` for a revision that was published with that contract and code. `here` is what this
        worker itself could run, with other code."""
        return _Running(self, name, published, here).run

    def samples(self, worker: str) -> dict[str, list[list[Any]]]:
        """See `telemetry.families`."""
        return {
            "penstock_runtime_calls_total": [[*key, count] for key, count in self.calls.items()],
            "penstock_runtime_connections": [
                [each.target.name, worker, sum(1 for _ in each.open_links)] for each in self._remotes
            ],
        }

    async def close(self) -> None:
        for each in self._remotes:
            await each.close()


class _Running:
    """One process for one revision."""

    def __init__(self, remotes: Remotes, name: str, published: Signed, here: Runner | None) -> None:
        operation, types = published.operation, published.types
        self._remotes = remotes
        self._name = name
        self._published = published
        self._here = here
        self._write = writer(operation.input, False, types)
        self._read = None if operation.output is None else reader(operation.output, operation.output_nullable, types)
        self._repeatable = operation.effect != "writing"
        self._turn = -1
        self._links: list[tuple[Link, RuntimeTarget]] = []
        self._why: list[str] = []

    async def run(self, call: Call) -> Any:
        """Canonical input to canonical output. The process's own Problems, RuntimeUnavailable, RuntimeLost, and what
        `Link.ask` raises."""
        content = orjson.dumps(self._write(call.input))
        message = {"process": self._name, "context": context_message(call.context)}
        tried: set[Link] = set()
        while True:
            found = self._pick(tried) or await self._awaited(tried)
            if found is None:
                if self._here is not None:
                    return await self._here(call)
                raise self._nowhere()
            link, target = found
            try:
                told, body = await self._traced(link, target, message, content)
            except Lost:
                self._remotes.calls[target.name, "lost"] += 1
                tried.add(link)
                if not self._repeatable:
                    text = f"The runtime {target.name} went away with the call; it may have run or not."
                    raise RuntimeLost(text) from None
            except Problem:
                self._remotes.calls[target.name, "unanswered"] += 1
                raise
            else:
                return self._result(call, target, told, body)

    def _pick(self, tried: set[Link]) -> tuple[Link, RuntimeTarget] | None:
        if self._turn != self._remotes.turn:
            self._look()
        links = self._links
        if len(links) == 1 and not tried:
            return links[0] if links[0][0].is_open else None
        free = [each for each in links if each[0] not in tried and each[0].is_open]
        return min(free, key=lambda each: each[0].under_way) if free else None

    def _look(self) -> None:
        """Who can run it, as connected now: those with its own code, or else those whose contract fits."""
        self._turn = self._remotes.turn
        exact, fitting, self._why = [], [], []
        for remote in self._remotes:
            for link in remote.open_links:
                signed = link.signed.get(self._name)
                if signed is None:
                    continue
                if signed.digest == self._published.digest:
                    exact.append((link, remote.target))
                elif remote.target.pin == "code":
                    self._why.append(f"{remote.target.name} has other code, and is pinned to it")
                elif wrong := differences(self._published, signed):
                    self._why.append(f"{remote.target.name} has another contract: {'; '.join(wrong[:3])}")
                else:
                    fitting.append((link, remote.target))
        self._links = exact or ([] if self._here is not None else fitting)

    async def _awaited(self, tried: set[Link]) -> tuple[Link, RuntimeTarget] | None:
        """What comes back within a moment: a runtime that is being replaced."""
        remotes = self._remotes
        if self._here is not None or remotes.waiting >= WAITING:
            return None
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        remotes.waiting += 1
        try:
            while (left := end - loop.time()) > 0:
                await remotes.news(left)
                if (found := self._pick(tried)) is not None:
                    return found
        finally:
            remotes.waiting -= 1
        return None

    def _nowhere(self) -> RuntimeUnavailable:
        why = [*dict.fromkeys(self._why), *self._remotes.away()]
        log.error("nothing can run %s: %s", self._name, " ".join(why) or "no runtime hosts it")
        return RuntimeUnavailable("No runtime that could run it is connected.", headers=[(b"retry-after", b"1")])

    async def _traced(
        self, link: Link, target: RuntimeTarget, message: dict[str, Any], content: bytes
    ) -> tuple[dict[str, Any], bytes]:
        trace = CURRENT.get()
        if trace is None:
            return await link.ask(message, content, target.timeout)
        span = trace.begin(f"process {self._name}", CLIENT, {"penstock.runtime": target.name})
        try:
            told = {**message, "traceparent": trace.parent_of(span).decode()}
            answer = await link.ask(told, content, target.timeout)
        except BaseException as error:
            trace.end(span, error)
            raise
        trace.end(span)
        return answer

    def _result(self, call: Call, target: RuntimeTarget, told: Mapping[str, Any], body: bytes) -> Any:
        try:
            problem = problem_from(told["problem"]) if "problem" in told else None
            if problem is None:
                output = None if self._read is None else self._read(loads(body))
        except (*NONSENSE, InvalidInput) as error:
            self._remotes.calls[target.name, "failed"] += 1
            call_id = call.context.call_id
            log.error("call %s: what %s answered for %s does not fit: %s", call_id, target.name, self._name, error)
            raise InternalError(
                f"The operation failed. The gateway's log tells more under the id {call_id}."
            ) from error
        if problem is None:
            self._remotes.calls[target.name, "answered"] += 1
            return output
        self._remotes.calls[target.name, "failed" if problem.status >= 500 else "refused"] += 1
        raise problem
