"""Policies in Python that run inside the gateway's worker: the fast and trusted mode.

They run on the worker's loop. What blocks there delays every request, so a policy that waits is `async def`; one that
computes for long belongs into an isolated runtime (`--policies-code`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from gateway.core import headers
from gateway.core.errors import Problem
from gateway.core.exchange import Exchange, Reply, StepResult
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.core.policy_code import Request, Response
from gateway.runtime.policies import PythonPolicy
from gateway.runtime.policy_exchange import (
    Before,
    before,
    changed_request,
    changed_response,
    late,
    reply_of,
    request_of,
    response_of,
    undecided,
)

log: Final = logging.getLogger("gateway.runtime")


def embedded_kind(policy: PythonPolicy) -> Kind[Any]:
    """The kind of a class that this process has imported."""
    mark = policy.mark

    def build(config: Any, _site: Site) -> Built:
        run = _Run(policy, policy.make(config))
        hidden = frozenset(headers.line(name.encode(), b"")[2:-2].lower() for name in mark.conceals)
        return Built(
            step=run.step if policy.has_request else None,
            after=run.after if policy.has_response else None,
            conceals=hidden,
            credentials=hidden,
        )

    return Kind(
        mark.name,
        policy.config,
        build,
        stage=Stage.BODY if mark.body else Stage.HEAD,
        reply_stage=Stage.BODY if mark.response_body else Stage.HEAD,
        protects=mark.protects,
        summary=policy.summary,
        family="own",
        example=mark.example,
    )


class _Run:
    """One step: an instance and what calls it."""

    def __init__(self, policy: PythonPolicy, instance: Any) -> None:
        self.policy = policy
        self.mark = policy.mark
        self.instance = instance
        self.keeps = policy.has_response

    def step(self, exchange: Exchange) -> StepResult | Coroutine[Any, Any, Any]:
        request = request_of(exchange, self.mark)
        seen = before(request)
        if self.keeps:
            exchange.note(self, request)
        if self.policy.asynchronous:
            return self._wait(exchange, request, seen)
        try:
            response = self.instance.request(request)
        except Problem:
            raise
        except Exception as error:
            raise self._failed(exchange, error) from error
        return self._settle(exchange, request, seen, response)

    async def _wait(self, exchange: Exchange, request: Request, seen: Before) -> Any:
        try:
            async with asyncio.timeout(self.mark.timeout):
                response = await self.instance.request(request)
        except Problem:
            raise
        except TimeoutError:
            raise late(self.mark) from None
        except Exception as error:
            raise self._failed(exchange, error) from error
        return self._settle(exchange, request, seen, response)

    def _settle(self, exchange: Exchange, request: Request, seen: Before, response: object) -> StepResult:
        if isinstance(response, Response):
            return reply_of(response)
        if response is not None:
            error = TypeError(f"request() returned {type(response).__name__}, not a Response or None")
            raise self._failed(exchange, error)
        return changed_request(exchange, seen, request, self.mark.protects)

    def after(self, exchange: Exchange, reply: Reply) -> None:
        kept = exchange.notes.get(self) if exchange.notes else None
        request = kept if isinstance(kept, Request) else request_of(exchange, self.mark)
        response = response_of(reply, self.mark)
        body = response.body
        try:
            self.instance.response(request, response)
        except Problem:
            raise
        except Exception as error:
            raise self._failed(exchange, error) from error
        changed_response(reply, body, response)

    def _failed(self, exchange: Exchange, error: Exception) -> Problem:
        log.error("request %s: the policy %s failed", exchange.id, self.mark.name, exc_info=error)
        return undecided(self.mark)
