"""Ways to sign in: an admin token, and every `Way` that is given: a button that leads to its flow, at whose end it
calls `begin` with what proves the person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.access import Access
from gateway.admin.console.sessions import Prove
from gateway.consumers.tokens import Token, current_token, find_token


class Begin(Protocol):
    def __call__(self, request: Request, prove: Prove, target: str = ..., leave: str = ...) -> Response:
        """Signs in who was proved, and leads on to a page of the console. `leave`: the URL at which one signs out of
        what proved it."""
        ...


@dataclass(frozen=True, slots=True)
class Way:
    """The button says `Sign in with {label}`. `answer` serves GET `/console/sign-in/{name}`, and `…/{name}/back` for
    who comes back from elsewhere; it may raise a Problem, which becomes a page."""

    label: str
    name: str
    answer: Callable[[Request, Begin], Awaitable[Response]]


async def by_token(access: Access, presented: str) -> Prove | None:
    """None for a token that is unknown, revoked or has ended. The plaintext is not kept."""
    found = await find_token(access.store, access.hasher, access.clock, presented)
    if found is None:
        return None
    id = found.id

    async def prove() -> Token | None:
        return await current_token(access.store, access.clock, id)

    return prove
