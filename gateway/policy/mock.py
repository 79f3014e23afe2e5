"""`mock`: typed operations answered without their backend, so that a version can be tried before it has one.

`{use: mock}`, `{use: mock, with: {examples: {get_order: {id: 7}}}}`. The answer is an example of `examples`, else
one that the schema of the output type gives itself, else made up from the type, always the same. It is written by
the endpoint's own frontend: REST, SOAP and OData operations alike, after the request was decoded and checked.
`Prefer: status=404` (RFC 7240) asks for a declared error.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.call import ANSWERED
from gateway.core.errors import BadRequest, InvalidInput, Problem
from gateway.core.exchange import Exchange
from gateway.core.headers import finder
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.schema.json_codec import reader
from gateway.schema.made_up import MadeUp
from gateway.schema.types import DeclaredError, Operation, Record, Types

_prefer: Final = finder(b"prefer")
_WORD: Final = rb"[ \t]*(?:status|code)[ \t]*=[ \t]*"
_STATUS: Final = re.compile(rb"(?:^|[,;])" + _WORD + rb'"?([0-9]{3})"?(?=[ \t]*(?:[,;]|$))', re.IGNORECASE)

Failure = Callable[[], Problem]


class Mock(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    examples: dict[str, Any] = Field(default_factory=dict, description="operation: what it answers, as JSON")
    prefer: bool = Field(True, description="whether a client may ask for a declared error by Prefer: status=404")


def build(config: Mock, site: Site) -> Built:
    """ValueError for an endpoint whose operation has no type: a relay, or an entity set."""
    contract = None if site.contract is None else site.contract(site.endpoint)
    if contract is None:
        return Built()
    operation, types, schemas = contract
    made_up = MadeUp(types, schemas)
    value = _value(config, operation, types, made_up)
    failures = dict(_failures(operation, made_up)) if config.prefer else {}

    def answer(exchange: Exchange) -> None:
        if failures or config.prefer:
            _fail(exchange, failures)
        exchange.note(ANSWERED, copy.deepcopy(value))

    return Built(step=answer)


def _value(config: Mock, operation: Operation, types: Types, made_up: MadeUp) -> Any:
    name = operation.name
    if operation.output is None:
        if config.examples.get(name) is not None:
            raise ValueError(f"the operation {name} answers nothing; take its example out")
        return None
    if name not in config.examples:
        try:
            return made_up.canonical(operation.output, operation.output_nullable)
        except ValueError as error:
            raise ValueError(f"the operation {name}: {error} under `examples`") from None
    try:
        return reader(operation.output, operation.output_nullable, types)(config.examples[name])
    except InvalidInput as error:
        raise ValueError(f"the example of {name} does not fit its output: {error.detail}") from None


def _failures(operation: Operation, made_up: MadeUp) -> list[tuple[int, Failure]]:
    """By status; of several with one status the first."""
    return [(error.status, _failure(error, made_up)) for error in reversed(operation.errors)]


def _failure(error: DeclaredError, made_up: MadeUp) -> Failure:
    kind: type[Problem] = type(
        error.code, (Problem,), {"code": error.code, "status": error.status, "title": error.title}
    )
    record = None if error.detail is None else made_up.types.resolve(error.detail)
    detail = made_up.canonical(error.detail, False) if isinstance(record, Record) and error.detail is not None else {}
    return lambda: kind("A mock answers.", **copy.deepcopy(detail))


def _fail(exchange: Exchange, failures: dict[int, Failure]) -> None:
    match = next(filter(None, map(_STATUS.search, _prefer(exchange.head.block))), None)
    if match is None or match[1][:1] == b"2":
        return
    status = int(match[1])
    if status not in failures:
        known = ", ".join(map(str, sorted(failures))) or "none"
        raise BadRequest(f"The operation declares no error with the status {status}; there are: {known}.")
    raise failures[status]()


KIND = Kind(
    "mock",
    Mock,
    build,
    stage=Stage.CALL,
    summary="Answers typed operations by examples, without their backend",
    example={"examples": {"get_order": {"id": 7}}},
    answers=True,
)
