"""What every frontend offers to `live/build`, which makes chains of it. Built once per version, at publish time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.core.errors import Problem
from gateway.core.exchange import Exchange, Reply, Step

log: Final = logging.getLogger("gateway")

Encode = Callable[[Exchange, Any], Reply]
Document = Callable[[Exchange], Reply]


@dataclass(frozen=True, slots=True)
class TypedEndpoint:
    """A typed endpoint: `decode` puts a Call on the exchange (`exchange.body` is there when `needs_body`),
    `encode` makes the reply of the backend's canonical value."""

    decode: Step
    encode: Encode
    needs_body: bool = True


class Mount(Protocol):
    """Several typed endpoints under one URL space: the SOAP service, the OData root."""

    def render(self, exchange: Exchange, problem: Any) -> Reply:
        """A problem in the protocol's own form."""
        ...

    def dispatch(self, exchange: Exchange) -> str:
        """Names the endpoint that runs (a SOAP operation, an OData resource), or raises a Problem.
        May keep what it parsed in `exchange.parsed`."""
        ...

    @property
    def dispatch_needs_body(self) -> bool:
        """SOAP: the body element decides (PROTOCOLS S3). OData: the URL does."""
        ...

    @property
    def endpoints(self) -> Mapping[str, TypedEndpoint]: ...

    @property
    def documents(self) -> Mapping[str, Document]:
        """GET documents by their path below the mount: `` for the WSDL, `/$metadata` for the CSDL."""
        ...


def add_fields(exchange: Exchange, reply: Reply, problem: Problem, own: frozenset[bytes] = frozenset()) -> None:
    """A problem's header fields on its reply, except those that the protocol sets itself (`own`, in lower case). One
    that could break the message is left out: the refusal itself must reach the client (CASES F22)."""
    for name, value in problem.headers:
        if name.lower() in own:
            continue
        try:
            reply.add(name, value)
        except ValueError as error:
            log.warning("request %s: a header of %s is left out: %s", exchange.id, problem.code, error)
