"""`any-of`: several ways to authenticate; the first whose credential is there decides.

    {use: any-of, with: {steps: [{use: api-key}, {use: basic, with: {…}}, {use: anonymous, with: {plan: trial}}]}}

A credential that is there and wrong is refused: the next way is not tried, `anonymous` neither. Where none is there the
caller hears of all ways. No credential of any of them goes on to the backend, whichever decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.errors import Unauthorized, Unpresented
from gateway.core.exchange import SWITCH, After, Exchange, Head, Reply
from gateway.core.kinds import Built, Caller, Kind, Presented, Site, Stage

OPEN = "anonymous"


class Way(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    use: str = Field(min_length=1, description="an authenticating kind")
    with_: dict[str, Any] = Field(default_factory=dict, alias="with", description="its settings")


class AnyOf(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[Way, ...] = Field(min_length=1, description="tried in this order")

    @model_validator(mode="after")
    def _reachable(self) -> AnyOf:
        if OPEN in [each.use for each in self.steps[:-1]]:
            raise ValueError(f"`{OPEN}` lets everybody in, so that nothing behind it is tried; put it last")
        return self


@dataclass(frozen=True, slots=True)
class _Ways:
    """What is tried, in order. `aside`: what runs of those that did not decide, for each that does. `plain`: for each
    whether there is nothing of that, and no after. `mark`: under which an exchange keeps the after of the one that
    decided."""

    steps: Sequence[Callable[[Exchange], Any]]
    aside: Sequence[tuple[Callable[[Exchange], None], ...]]
    afters: Sequence[After | None]
    plain: Sequence[bool]
    mark: object

    def enter(self, exchange: Exchange, first: int, missed: list[Unpresented]) -> Any:
        """What the deciding step returns. Unauthorized when none has a credential."""
        for index in range(first, len(self.steps)):
            try:
                result = self.steps[index](exchange)
            except Unpresented as problem:
                missed.append(problem)
                continue
            return self.came_to(exchange, index, result, missed)
        raise _nothing(missed)

    def came_to(self, exchange: Exchange, index: int, result: Any, missed: list[Unpresented]) -> Any:
        """What the step with that number returned."""
        if result is not None and result is not SWITCH and asyncio.iscoroutine(result):
            return self._later(exchange, index, result, missed)
        if not self.plain[index]:
            self._decided(exchange, index)
        return result

    async def _later(self, exchange: Exchange, index: int, waiting: Any, missed: list[Unpresented]) -> Any:
        """Of a step that can only tell after a wait that its credential is not there."""
        try:
            result = await waiting
        except Unpresented as problem:
            missed.append(problem)
        else:
            self._decided(exchange, index)
            return result
        result = self.enter(exchange, index + 1, missed)
        return await result if asyncio.iscoroutine(result) else result

    def _decided(self, exchange: Exchange, index: int) -> None:
        for aside in self.aside[index]:
            aside(exchange)
        if self.afters[index] is not None:
            exchange.note(self.mark, self.afters[index])

    def after(self, exchange: Exchange, reply: Reply) -> Awaitable[None] | None:
        """Of the way that decided."""
        after: After | None = exchange.notes.get(self.mark) if exchange.notes else None
        return None if after is None else after(exchange, reply)


def build(config: AnyOf, site: Site) -> Built:
    built = [_built(each, site) for each in config.steps]
    aside = [
        tuple(other.otherwise for other in built if other is not each and other.otherwise is not None) for each in built
    ]
    afters = [each.after for each in built]
    plain = [not others and after is None for others, after in zip(aside, afters, strict=True)]
    ways = _Ways([each.step for each in built if each.step is not None], aside, afters, plain, object())

    first, plain_first = ways.steps[0], plain[0]

    def authenticate(exchange: Exchange) -> Any:
        try:
            result = first(exchange)
        except Unpresented as problem:
            return ways.enter(exchange, 1, [problem])
        return None if result is None and plain_first else ways.came_to(exchange, 0, result, [])

    return Built(
        step=authenticate,
        otherwise=_all([each.otherwise for each in built if each.otherwise is not None]),
        after=ways.after if any(afters) else None,
        conceals=frozenset[bytes]().union(*(each.conceals for each in built)),
        credentials=frozenset[bytes]().union(*(each.credentials for each in built)),
        presented=_presented([each.presented for each in built if each.presented is not None]),
    )


def _built(way: Way, site: Site) -> Built:
    kind = site.kinds.get(way.use)
    if kind is None or kind.family != "authentication" or kind.holds:
        raise ValueError(f"`{way.use}` is no kind of authentication that can stand in any-of")
    if kind.stage != Stage.HEAD or kind.stage_of is not None or kind.reply_stage != Stage.HEAD:
        raise ValueError(f"`{way.use}` needs more than the heads, so that any-of cannot try it; use it as a step")
    built = kind.build(kind.config.model_validate(way.with_), site)
    if built.step is None or built.request_tap is not None or built.response_tap is not None:
        raise ValueError(f"`{way.use}` does not authenticate by its step alone; use it as a step")
    return built


def _all(every: list[Callable[[Exchange], None]]) -> Callable[[Exchange], None] | None:
    def run(exchange: Exchange) -> None:
        for each in every:
            each(exchange)

    return run if every else None


def _presented(every: list[Presented]) -> Presented | None:
    """Whose credential is shown, by the first way that knows."""
    if len(every) < 2:
        return every[0] if every else None

    def read(head: Head) -> Caller | None:
        return next(filter(None, (each.read(head) for each in every)), None)

    return Presented(read, ", ".join(dict.fromkeys(each.field for each in every if each.field)) or None)


def _nothing(missed: list[Unpresented]) -> Unauthorized:
    """Every way in, with its challenge (RFC 9110 section 11.6.1)."""
    said = dict.fromkeys(field for problem in missed for field in problem.headers)
    text = " ".join(dict.fromkeys(problem.detail for problem in missed if problem.detail))
    return Unauthorized(f"One of these is needed. {text}".strip(), headers=list(said))


KIND = Kind(
    "any-of",
    AnyOf,
    build,
    protects=True,
    summary="Several ways to authenticate: the first whose credential is there decides",
    family="authentication",
    example={"steps": [{"use": "api-key"}, {"use": "anonymous"}]},
    holds="steps",
)
