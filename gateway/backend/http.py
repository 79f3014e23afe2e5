"""The backend kind `http`: a typed call of an HTTP service that speaks JSON. Compiled at publish time."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

from pydantic import model_validator

from gateway.backend import http_options as options
from gateway.backend.http_answer import Answers
from gateway.backend.http_check import check
from gateway.backend.http_request import Request, prepare
from gateway.core.call import Backend, Call
from gateway.core.egress import Egress
from gateway.core.errors import BadGateway, GatewayTimeout
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import BackendKind, Services
from gateway.manifest.check_http import check_http
from gateway.manifest.documents import HttpOperation, SoapCall
from gateway.manifest.http_backend import HttpBackend
from gateway.relay.certificates import context
from gateway.relay.network import Network
from gateway.relay.settings import Balancing
from gateway.relay.upstream import Upstream
from gateway.schema.types import Operation, Types

log: Final = logging.getLogger("gateway.backend")


class Opener(Protocol):
    """Opens one backend's targets, given as (URL, weight). `settings` are those of `relay.settings.Settings`."""

    def __call__(
        self,
        targets: list[tuple[str, int]],
        *,
        balancing: Balancing,
        tls: ssl.SSLContext | None,
        network: Network | None,
        **settings: Any,
    ) -> Upstream: ...


class HttpConnection(HttpBackend):
    """What a version's operations share, with the Environment's values in it. A secret is filled in later."""

    @model_validator(mode="after")
    def _fits(self) -> HttpConnection:
        wrong = [f"`{'.'.join(map(str, each.keys))}`: {each.message}" for each in check_http(self)]
        if wrong:
            raise ValueError(" ".join(wrong))
        return self


class HttpCall(HttpOperation):
    """An operation's own part. A snapshot names the backend beside it, so it may be left out here."""

    backend: str = ""
    soap: SoapCall | None = None


def http_kind(opener: Opener | Callable[..., Upstream]) -> BackendKind:
    """The kind over an opener of upstreams: the pool of `relay`, or a fake."""

    def open_(config: HttpBackend, services: Services) -> Upstream:
        if config.tls is not None and not config.tls.verify:
            log.warning("certificates of %s are not verified", ", ".join(url for url, _ in options.targets(config)))
        return opener(
            options.targets(config),
            balancing=options.balancing(config),
            tls=context(options.tls(config.tls)) if config.tls is not None else None,
            network=services.find(Network),
            **options.settings(config),
        )

    def check_(config: HttpBackend, services: Services) -> None:
        options.check(config, services.find(Egress) or Egress())

    summary = "Calls an HTTP service that speaks JSON."
    return BackendKind("http", HttpConnection, HttpCall, open_, bind, summary, check_)


def bind(config: HttpOperation, upstream: Any, operation: Operation, types: Types, _services: Services) -> Backend:
    """The backend of one operation. DocumentsRefused holds everything that keeps it from working."""
    if isinstance(config, HttpCall) and config.soap is not None:
        from gateway.backend.soap import bind_soap  # lxml: for those alone that call SOAP

        return bind_soap(config.soap, config.request.partition(" ")[2], upstream, operation, types)
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
            application = call.context.identity.application
            more: dict[str, Any] = {} if call.override is None else {"override": call.override}
            answer = await self._upstream.fetch(
                self._request.method, target, fields, body, application=application, **more
            )
        except TimeoutError as error:
            raise GatewayTimeout("The backend did not answer in time.") from error
        except OSError as error:
            raise BadGateway("The backend cannot be reached.") from error
        return self._answers.read(answer, call.context.call_id)

    async def close(self) -> None:
        """Nothing is held here."""
