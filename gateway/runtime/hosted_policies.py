"""Policy kinds whose code runs in an isolated runtime: what the worker does is ask its host, and wait.

A host that is away, hangs, or answers nonsense decides nothing: the request is refused with 503.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import orjson

from gateway.core.errors import Problem
from gateway.core.exchange import Exchange, Reply, StepResult, Wait
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.core.policy_code import Mark, Request
from gateway.runtime.frames import Frame
from gateway.runtime.hosts import Hosts
from gateway.runtime.policy_exchange import (
    before,
    changed_request,
    changed_response,
    late,
    reply_of,
    request_of,
    response_of,
    undecided,
)
from gateway.runtime.policy_messages import (
    apply_edits,
    apply_response_edits,
    request_message,
    response_from,
    response_message,
)
from gateway.runtime.problem_messages import problem_from
from gateway.runtime.schema_model import schema_model, settings_of

log: Final = logging.getLogger("gateway.runtime")

NONSENSE: Final = (ValueError, KeyError, TypeError, AttributeError)


def hosted_kind(package: str, described: Mapping[str, Any]) -> Kind[Any]:
    """The kind of a class that another process has imported; `described` is what `PythonPolicy.described` tells."""
    mark = Mark(
        described["name"],
        described["protects"],
        described["body"],
        described["response_body"],
        tuple(described["conceals"]),
        described["example"],
        described["timeout"],
    )

    def build(config: Any, site: Site) -> Built:
        hosts = site.services.find(Hosts)  # type: ignore[type-abstract]  # asked for by what it can do
        if hosts is None:  # a look at documents, without a node
            return Built()
        settings = settings_of(config)
        digest = hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest()[:24]
        hosts.prepare(package, mark.name, digest, settings)
        if site.on_close is not None:
            site.on_close(partial(hosts.release, package, mark.name, digest))
        asking = _Asking(mark, package, digest, hosts)
        hidden = frozenset(name.encode().lower() for name in mark.conceals)
        return Built(
            step=asking.step if described["request"] else None,
            after=asking.after if described["response"] else None,
            conceals=hidden,
            credentials=hidden,
        )

    return Kind(
        mark.name,
        schema_model(mark.name, described["config"]),
        build,
        stage=Stage.BODY if mark.body else Stage.HEAD,
        reply_stage=Stage.BODY if described["response"] else Stage.HEAD,  # only there an after may wait
        protects=mark.protects,
        summary=described["summary"],
        family="own",
        example=mark.example,
        libraries=("jsonschema_rs",),
    )


def _resolve(answer: asyncio.Future[Frame | None], frame: Frame | None) -> None:
    if not answer.done():
        answer.set_result(frame)


class _Asking:
    """One step: what its host is asked, and what becomes of the answer."""

    def __init__(self, mark: Mark, package: str, digest: str, hosts: Hosts) -> None:
        self.mark = mark
        self.package = package
        self.hosts = hosts
        self.about = {"policy": mark.name, "config": digest}

    def step(self, exchange: Exchange) -> Wait:
        request = request_of(exchange, self.mark)
        exchange.note(self, request)  # what is decided about, and what `response` sees again
        wait = Wait(exchange, self._decide)
        message = {"do": "request", **self.about, "request": request_message(request)}
        self.hosts.call(self.package, message, request.body or b"", self.mark.timeout, wait.deliver)
        return wait

    def _decide(self, exchange: Exchange, frame: Frame | None) -> StepResult:
        told, body = self._useful(exchange, frame)
        try:
            if "reply" in told:
                return reply_of(response_from(told["reply"], body))
            assert exchange.notes is not None
            request = exchange.notes[self]
            seen = before(request)
            apply_edits(request, told["edits"], body if self.mark.body else None)
            return changed_request(exchange, seen, request, self.mark.protects)
        except NONSENSE as error:
            raise self._nonsense(exchange, error) from error

    async def after(self, exchange: Exchange, reply: Reply) -> None:
        kept = exchange.notes.get(self) if exchange.notes else None
        request = kept if isinstance(kept, Request) else request_of(exchange, self.mark)
        response = response_of(reply, self.mark)
        body = response.body
        told = {"request": request_message(request), "response": response_message(response)}
        answer: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()
        message = {"do": "response", **self.about, **told}
        self.hosts.call(self.package, message, body or b"", self.mark.timeout, partial(_resolve, answer))
        edits, content = self._useful(exchange, await answer)
        try:
            apply_response_edits(response, edits["response"], content if self.mark.response_body else None)
            changed_response(reply, body, response)
        except NONSENSE as error:
            raise self._nonsense(exchange, error) from error

    def _useful(self, exchange: Exchange, frame: Frame | None) -> Frame:
        """An answer that decides. The policy's own problems are raised."""
        if frame is None:
            raise late(self.mark)
        told, body = frame
        try:
            problem = problem_from(told["problem"]) if "problem" in told else None
        except NONSENSE as error:
            raise self._nonsense(exchange, error) from error
        if problem is not None:
            raise problem
        if "failed" in told or not ("reply" in told or "edits" in told or "response" in told):
            log.error("request %s: the policy %s failed in its host", exchange.id, self.mark.name)
            raise undecided(self.mark)
        return told, body

    def _nonsense(self, exchange: Exchange, error: Exception) -> Problem:
        log.error("request %s: the host of %s answered nonsense: %s", exchange.id, self.mark.name, error)
        return undecided(self.mark)
