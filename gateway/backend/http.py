"""The backend kind `http`: a typed call of an HTTP service that speaks JSON. Compiled at publish time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pydantic import field_validator

from gateway.backend.http_answer import Answers
from gateway.backend.http_check import check
from gateway.backend.http_request import Request, prepare
from gateway.core.call import Backend, Call
from gateway.core.durations import seconds
from gateway.core.errors import BadGateway, GatewayTimeout
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import BackendKind, Services
from gateway.manifest.check import is_target
from gateway.manifest.documents import HttpBackend, HttpOperation
from gateway.manifest.environment import SECRET
from gateway.relay.upstream import Upstream
from gateway.schema.types import Operation, Types


class Opener(Protocol):
    """Opens one backend's targets. Times are in seconds."""

    def __call__(
        self,
        targets: tuple[str, ...],
        *,
        timeout: float,
        connect_timeout: float,
        idle_timeout: float,
        retries: int,
        max_connections: int,
    ) -> Upstream: ...


class HttpConnection(HttpBackend):
    """What a version's operations share, with the Environment's values in it. A secret is filled in later."""

    @field_validator("targets")
    @classmethod
    def _are_targets(cls, targets: list[str]) -> list[str]:
        for target in targets:
            if SECRET not in target and not is_target(target):
                raise ValueError(f"{target!r} is not a target; write http://host:port")
        return targets


class HttpCall(HttpOperation):
    """An operation's own part. A snapshot names the backend beside it, so it may be left out here."""

    backend: str = ""


def http_kind(opener: Opener | Callable[..., Upstream]) -> BackendKind:
    """The kind over an opener of upstreams: the pool of `relay`, or a fake."""

    def open_(config: HttpBackend, _services: Services) -> Upstream:
        return opener(
            tuple(config.targets),
            timeout=seconds(config.timeout),
            connect_timeout=seconds(config.connect_timeout),
            idle_timeout=seconds(config.idle_timeout),
            retries=config.retries,
            max_connections=config.max_connections,
        )

    return BackendKind("http", HttpConnection, HttpCall, open_, bind, "Calls an HTTP service that speaks JSON.")


def bind(config: HttpOperation, upstream: Any, operation: Operation, types: Types, _services: Services) -> Backend:
    """The backend of one operation. DocumentsRefused holds everything that keeps it from working."""
    findings = check(config, operation, types)
    if findings:
        raise DocumentsRefused(findings)
    return HttpCaller(upstream, prepare(config, operation, types), Answers(config, operation, types))


class HttpCaller:
    """Request out, answer back. The upstream is shared by the version's operations and closed with it."""

    def __init__(self, upstream: Upstream, request: Request, answers: Answers) -> None:
        self._upstream = upstream
        self._request = request
        self._answers = answers

    async def invoke(self, call: Call) -> Any:
        """The output as a canonical value. Raises a declared error, BadGateway, GatewayTimeout, or InvalidInput when
        a value cannot stand in a URL or a header."""
        target, fields, body = self._request.of(call.input)
        try:
            answer = await self._upstream.fetch(self._request.method, target, fields, body)
        except TimeoutError as error:
            raise GatewayTimeout("The backend did not answer in time.") from error
        except OSError as error:
            raise BadGateway("The backend cannot be reached.") from error
        return self._answers.read(answer, call.context.call_id)

    async def close(self) -> None:
        """Nothing is held here."""
