"""A wire that records replies, and a chain of decode, backend, encode: what the gateway makes of a typed endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.core import chain, headers
from gateway.core.call import Call
from gateway.core.chain import Chain
from gateway.core.exchange import Exchange, Head, Reply, Wait
from gateway.frontend.frontend import TypedEndpoint
from gateway.frontend.rest.endpoint import rest_endpoint
from gateway.frontend.rest.problems import render
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.schema.types import Operation, Types
from gateway.snapshot.spec import Binding, EndpointSpec


class RecordingWire:
    """The whole body is there at once; the reply is kept."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.reply: Reply | None = None
        self.answered = asyncio.Event()

    def buffer(self, exchange: Exchange, limit: int) -> Wait | None:
        exchange.body = self.body
        return None

    def pipe(self, exchange: Exchange, sink: Any) -> None:
        raise AssertionError("nothing is relayed here")

    def send(self, exchange: Exchange, reply: Reply) -> None:
        self.reply = reply
        chain.close(exchange)
        self.answered.set()

    def start(self, exchange: Exchange, reply: Reply, length: int | None) -> None:
        raise AssertionError("nothing is streamed here")

    write = end = abort = inform = start  # type: ignore[assignment]

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...


class Api:
    """One endpoint over one operation whose backend answers `result` (or raises it)."""

    def __init__(
        self,
        key: str,
        input: Mapping[str, Any] | None = None,
        output: Any = None,
        *,
        required: list[str] | None = None,
        types: Mapping[str, Any] | None = None,
        result: Any = None,
        location: Callable[[Exchange, Any], bytes] | None = None,
        steps: tuple[Any, ...] = (),
        **binding: Any,
    ) -> None:
        self.types: Types = read_types(types or {})
        self.operation = operation(input or {}, output, self.types, required)
        method, path = key.split(" ")
        self.path_parameters = tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))
        self.spec = EndpointSpec(
            key=key, protocol="rest", method=method, path=path, binding=Binding(**binding), steps=steps
        )
        self.endpoint: TypedEndpoint = rest_endpoint(
            self.spec, self.operation, self.types, self.path_parameters, "shop", "v2", location
        )
        self.result = result
        self.calls: list[Call] = []

    async def send(
        self, *params: bytes, query: bytes = b"", body: bytes = b"", fields: Mapping[str, str] | None = None
    ) -> Answer:
        given = {"Content-Type": "application/json"} if body else {}
        lines = [(name.encode(), value.encode("latin-1")) for name, value in (given | dict(fields or {})).items()]
        head = Head(self.spec.method.encode(), b"/", query, headers.block(lines), length=len(body))
        wire = RecordingWire(body)
        exchange = Exchange("req-1", head, wire, self._chain())
        exchange.params = params
        chain.run(exchange)
        await wire.answered.wait()
        assert wire.reply is not None
        return Answer(wire.reply)

    def _chain(self) -> Chain:
        def buffer(exchange: Exchange) -> Wait | None:
            return exchange.wire.buffer(exchange, 1 << 20) if self.endpoint.needs_body else None

        def call(exchange: Exchange) -> Reply:
            assert exchange.call is not None
            self.calls.append(exchange.call)
            if isinstance(self.result, Exception):
                raise self.result
            return self.endpoint.encode(exchange, self.result)

        return Chain(self.spec.key, (buffer, self.endpoint.decode, call), render)

    @property
    def input(self) -> dict[str, Any]:
        return self.calls[-1].input


class Answer:
    """A reply as a client sees it."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.status = reply.status
        self.media_type = reply.get(b"content-type")
        self.body = reply.body

    @property
    def json(self) -> Any:
        return orjson.loads(self.body or b"")

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong with the request, by place."""
        return {error["target"]: error["message"] for error in self.json["errors"]}


def operation(
    input: Mapping[str, Any], output: Any, types: Types, required: list[str] | None = None, **contract: Any
) -> Operation:
    schema = {
        "type": "object",
        "properties": dict(input),
        "required": list(input) if required is None else required,
    }
    return read_operation("find", {"effect": "safe", "input": schema, "output": output} | contract, types)
