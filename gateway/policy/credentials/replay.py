"""That a signed request is used once: its nonce is counted in the store, exact over workers and nodes."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.errors import StoreUnavailable, Unauthorized
from gateway.core.exchange import Exchange, StepResult, Wait
from gateway.core.kinds import Site
from gateway.store.counters import Counters, Limit, Rule, Verdict

Once = Callable[[Exchange, str, Callable[[Exchange], StepResult]], StepResult]


def once(site: Site, window: float, refusal: Callable[[str], Unauthorized]) -> Once:
    """A function that goes on when `nonce` was not used within `window` seconds. While the store cannot tell nobody
    passes (503)."""
    counters: Counters = site.services.named("counters")
    counter = counters.counter((Limit(f"{site.counter}:nonce:", (Rule("gcra", 1, window),)),))

    def use(exchange: Exchange, nonce: str, go_on: Callable[[Exchange], StepResult]) -> StepResult:
        def decide(exchange: Exchange, verdict: Verdict | None) -> StepResult:
            if verdict is None:
                raise StoreUnavailable(
                    "Whether the request was sent before cannot be told now.", headers=[(b"Retry-After", b"1")]
                )
            if not verdict.allowed:
                raise refusal("The request was sent before.")
            return go_on(exchange)

        wait = Wait(exchange, decide)
        counter.take(nonce, wait.deliver)
        return wait

    return use
