"""The chain of a copy of a request: the same one, without the steps that are for the request alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.core.chain import Chain
from gateway.core.exchange import Exchange, Step, Switch


def copied(chain: Chain) -> Chain:
    """What proves who asks, and what counts, does not run again; what keeps credentials from the backend does. Those
    steps pass as skipped ones do, so that their afters do not run either."""
    steps = list(chain.steps)
    skipped = sum(1 << index for index, _ in chain.once)
    for index, otherwise in chain.once:
        steps[index] = otherwise
    if skipped:
        steps[0] = _beginning(steps[0], skipped)
    if chain.dispatches:
        steps[-1] = _dispatching(steps[-1])
    return replace(chain, steps=tuple(steps), plans={}, once=())


def _beginning(first: Step, skipped: int) -> Step:
    def begin(exchange: Exchange) -> Any:
        exchange.skipped |= skipped
        return first(exchange)

    return begin


def _dispatching(dispatch: Step) -> Step:
    def dispatch_copy(exchange: Exchange) -> Any:
        result = dispatch(exchange)
        if isinstance(result, Switch):
            skipped = sum(1 << index for index, _ in exchange.chain.once)
            exchange.chain = copied(exchange.chain)
            exchange.skipped |= skipped
        return result

    return dispatch_copy
