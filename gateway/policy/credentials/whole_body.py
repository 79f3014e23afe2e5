"""For a step of the head that must see the body as well: what is signed covers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.core.exchange import Exchange, StepResult


def with_body(exchange: Exchange, limit: int, go_on: Callable[[Exchange], StepResult]) -> StepResult:
    """Goes on with the whole body in `exchange.body`. ContentTooLarge beyond `limit` bytes."""
    waiting = exchange.wire.buffer(exchange, limit)
    if waiting is None:
        return go_on(exchange)
    collected = waiting.then

    def then(exchange: Exchange, value: Any) -> StepResult:
        collected(exchange, value)
        return go_on(exchange)

    waiting.then = then
    return waiting
