"""The gateway's own answers about its health, on its own port, for load balancers and orchestrators. They stand in the
router like any endpoint, so that no other request pays for them; a component's endpoint at the same URL is hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.chain import Chain
from gateway.core.errors import MethodNotAllowed
from gateway.core.exchange import Exchange, Renderer, Reply, Step
from gateway.frontend.rest.problems import render
from gateway.live.router import LiveRouter, Made, Methods, Trie
from gateway.live.slots import refuse_with
from gateway.snapshot.routes import segments_of

_FIELDS: Final = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))


def own_paths(path: str) -> frozenset[bytes]:
    """Of the answers below this path: whether the worker lives, whether it should get requests."""
    return frozenset((f"{path}/live".encode(), f"{path}/ready".encode()))


def place_health(router: LiveRouter, path: str, is_ready: Callable[[], bool]) -> None:
    """`PATH/live` is 200 as long as a worker answers; `PATH/ready` is 503 while it should get no new connections."""

    def live(_exchange: Exchange) -> Reply:
        return Reply(200, [*_FIELDS], b'{"live":true}')

    def ready(_exchange: Exchange) -> Reply:
        if is_ready():
            return Reply(200, [*_FIELDS], b'{"ready":true}')
        return Reply(503, [*_FIELDS, (b"Retry-After", b"1")], b'{"ready":false}')

    for name, step in (("live", live), ("ready", ready)):
        place_own(router, path, name, step)


def place_own(router: LiveRouter, path: str, name: str, step: Callable[[Exchange], Reply]) -> None:
    """An answer of the gateway itself at `PATH/name`."""
    place_method(router, (*segments_of(path), name), name, b"GET", step)


def place_method(
    router: LiveRouter, segments: tuple[str, ...], name: str, method: bytes, step: Step, render: Renderer = render
) -> None:
    """An answer of the gateway itself to one method; GET has HEAD with it."""
    trie = Trie()
    trie.add((), _methods(name, method, step, render))
    base = router.base(segments)
    base.trie, base.choice = trie, None


def _methods(name: str, method: bytes, step: Step, render: Renderer) -> Methods:
    facts = {"component": "", "version": "", "endpoint": name}
    allowed = b"GET, HEAD, OPTIONS" if method == b"GET" else method + b", OPTIONS"
    allow = (b"Allow", allowed)
    not_allowed = refuse_with(lambda _exchange: MethodNotAllowed(f"Allowed: {allowed.decode()}.", headers=[allow]))

    def chain(step: Step) -> Chain:
        return Chain(name, (step,), render, facts=facts)

    return Methods({method: chain(step)}, None, Made(chain(not_allowed), chain(lambda _exchange: Reply(204, [allow]))))
