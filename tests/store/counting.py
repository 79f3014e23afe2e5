"""Takes of one limit, as tests write them."""

from __future__ import annotations

import asyncio
import time

from gateway.store.counters import Costs, Counters, Limit, Rule, Verdict

NAME = "limit"


def one(rules: tuple[Rule, ...], cost: int = 1, name: str = NAME) -> tuple[Limit, ...]:
    return (Limit(name, rules, cost),)


async def take_all(
    counters: Counters, subject: str, limits: tuple[Limit, ...], costs: Costs | None = None
) -> Verdict | None:
    found: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
    counters.counter(limits).take(subject, found.set_result, costs)
    return await found


async def take(counters: Counters, subject: str, rules: tuple[Rule, ...], cost: int = 1) -> Verdict:
    verdict = await take_all(counters, subject, one(rules, cost))
    assert verdict is not None
    return verdict


def give(counters: Counters, subject: str, rules: tuple[Rule, ...], cost: int, at: int | None = None) -> None:
    """What was taken now, unless `at` says when."""
    counters.counter(one(rules, cost)).give(subject, round(time.time() * 1e6) if at is None else at)
