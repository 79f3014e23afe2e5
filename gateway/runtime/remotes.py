"""The runtimes of a node: what they host, and the way of a call to the one that has the right code.

Code runs for a revision if it is what the revision was published with, or if its contract fits (`fitting`); the former
is preferred, wherever it is. Among several processes the one with the fewest calls under way is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

import orjson

from gateway.core.call import Call
from gateway.core.errors import BadGateway, InternalError, InvalidInput, Problem, Unreached
from gateway.core.runtimes import RuntimeTarget
from gateway.core.secrets import Secret
from gateway.core.settings import Settings
from gateway.core.trace import CLIENT, CURRENT
from gateway.relay.names import Names
from gateway.runtime.call_messages import context_message
from gateway.runtime.embedded import Runner
from gateway.runtime.fitting import Signed, differences
from gateway.runtime.frames import Frame
from gateway.runtime.problem_messages import problem_from
from gateway.runtime.remote import Remote
from gateway.runtime.remote_link import Link, Lost, NotSent
from gateway.schema.json_codec import loads, reader, writer

log: Final = logging.getLogger("gateway.runtime")

PATIENCE: Final = 2.0  # seconds for which a call waits for a runtime that is away
WAITING: Final = 256  # calls that do so at a time
Fit = Literal["own", "fits", "none"]
NONSENSE: Final = (ValueError, KeyError, TypeError, AttributeError)


class RuntimeUnavailable(Unreached):
    """No process of a runtime that could run it is connected."""

    title, code = "No runtime can run it now", "runtime_unavailable"


class RuntimeLost(BadGateway):
    """It went away with the call."""

    title, code = "The runtime went away", "runtime_lost"


def largest_message(settings: Settings) -> int:
    """Bytes of one output: JSON may take four times what a body had."""
    return max(64 * 1024 * 1024, 4 * settings.largest_body)


class Candidate(NamedTuple):
    """A connected process that hosts what is looked for: with the code that was published (`own`), with code whose
    contract fits, or not to be used, and why."""

    link: Link
    target: RuntimeTarget
    fit: Fit
    why: str


class Remotes:
    """`limit` bounds one output in bytes. `changed` is called when what is connected changes."""

    def __init__(
        self,
        targets: Sequence[RuntimeTarget] = (),
        token: Secret | None = None,
        limit: int = 0,
        names: Names | None = None,
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

    def runner(self, name: str, published: Signed, here: Runner | None = None) -> Running:
        """Runs the process `name` for a revision that was published with that contract and code. `here` is what this
        worker itself could run, with other code."""
        return Running(self, name, published, here)

    def candidates(self, name: str, published: Signed) -> Iterator[Candidate]:
        """Every connected process that hosts it, with whether its code may run."""
        for remote in self._remotes:
            for link in remote.open_links:
                signed = link.signed.get(name)
                if signed is not None:
                    yield Candidate(link, remote.target, *_verdict(published, signed, remote.target.pin))

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


def _verdict(published: Signed, signed: Signed, pin: str) -> tuple[Fit, str]:
    if signed.digest == published.digest:
        return "own", ""
    if pin == "code":
        return "none", "it has other code, and is pinned to what was published"
    wrong = differences(published, signed)
    return ("none", f"its contract is another: {'; '.join(wrong[:3])}") if wrong else ("fits", "")


class Running:
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
        self._found: list[Candidate] = []
        self._why: list[str] = []

    def available(self) -> bool:
        return self._here is not None or self._pick(frozenset()) is not None

    async def __call__(self, call: Call) -> Any:
        """Canonical input to canonical output. The process's own Problems, RuntimeUnavailable, RuntimeLost, and what
        `Link.ask` raises."""
        content = orjson.dumps(self._write(call.input))
        tried: set[Link] = set()
        while True:
            found = self._pick(tried) or await self._awaited(tried)
            if found is None:
                if self._here is not None:
                    return await self._here(call)
                raise self._nowhere()
            link, target = found.link, found.target
            try:
                told, body = await self._ask(link, target, call, content)
            except NotSent:
                tried.add(link)
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

    def _pick(self, tried: Collection[Link]) -> Candidate | None:
        if self._turn != self._remotes.turn:
            self._look()
        found = self._found
        if len(found) == 1 and not tried:
            return found[0] if found[0].link.is_open else None
        free = [each for each in found if each.link not in tried and each.link.is_open]
        return min(free, key=lambda each: each.link.under_way) if free else None

    def _look(self) -> None:
        """Who can run it, as connected now: those with its own code, or else those whose contract fits."""
        self._turn = self._remotes.turn
        all_ = list(self._remotes.candidates(self._name, self._published))
        own = [each for each in all_ if each.fit == "own"]
        others = [] if self._here is not None else [each for each in all_ if each.fit == "fits"]
        self._found = own or others
        self._why = [f"{each.target.name}: {each.why}" for each in all_ if each.why]

    async def _awaited(self, tried: Collection[Link]) -> Candidate | None:
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
        log.error("nothing can run %s: %s", self._name, " ".join(why) or "no runtime that is connected hosts it")
        return RuntimeUnavailable("No runtime that could run it is connected.", headers=[(b"retry-after", b"1")])

    async def _ask(self, link: Link, target: RuntimeTarget, call: Call, content: bytes) -> Frame:
        trace = CURRENT.get()
        if trace is None:
            return await link.ask(self._message(call), content, target.timeout)
        with trace.within(f"process {self._name}", CLIENT, {"penstock.runtime": target.name}) as span:
            call.context = replace(call.context, traceparent=trace.parent_of(span).decode())
            return await link.ask(self._message(call), content, target.timeout)

    def _message(self, call: Call) -> dict[str, Any]:
        return {"process": self._name, "context": context_message(call.context)}

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
