"""The gateway's own answers about its health, on its own port, for load balancers and orchestrators. They stand in the
router like any endpoint, so that no other request pays for them; a component's endpoint at the same URL is hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.chain import Chain
from gateway.core.errors import MethodNotAllowed
from gateway.core.exchange import Exchange, Reply
from gateway.frontend.rest.problems import render
from gateway.live.router import LiveRouter, Made, Methods, Trie
from gateway.live.slots import refuse_with
from gateway.snapshot.routes import segments_of

_FIELDS: Final = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))
_ALLOW: Final = (b"Allow", b"GET, HEAD, OPTIONS")


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
    trie = Trie()
    trie.add((), _methods(name, step))
    base = router.base((*segments_of(path), name))
    base.trie, base.choice = trie, None


def _methods(name: str, step: Callable[[Exchange], Reply]) -> Methods:
    facts = {"component": "", "version": "", "endpoint": name}
    not_allowed = refuse_with(lambda _exchange: MethodNotAllowed("Allowed: GET, HEAD, OPTIONS.", headers=[_ALLOW]))

    def chain(step: Callable[[Exchange], Reply]) -> Chain:
        return Chain(name, (step,), render, facts=facts)

    refusing = Chain(name, (not_allowed,), render, facts=facts)
    return Methods({b"GET": chain(step)}, None, Made(refusing, chain(lambda _exchange: Reply(204, [_ALLOW]))))
