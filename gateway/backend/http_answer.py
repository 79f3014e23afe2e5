"""The answer of a typed HTTP call: the output, a declared error, or BadGateway.

What a service sends beside the declared fields is dropped: it may grow. What is declared must be there and fit.
Nothing of an answer that is not declared reaches a client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from gateway.core.errors import BadGateway, InvalidInput, Problem
from gateway.manifest.documents import HttpOperation
from gateway.relay.upstream import Fetched
from gateway.schema.json_codec import loads, reader
from gateway.schema.types import Array, DeclaredError, Operation, Record, Ref, Type, Types

log: Final = logging.getLogger("gateway.backend")

Keep = Callable[[Any], Any]
_MAX_DETAIL: Final = 500
_MISSING: Final = object()


class Answers:
    """Compiled readers of one operation's answers."""

    def __init__(self, config: HttpOperation, operation: Operation, types: Types) -> None:
        self._path = tuple(config.result.split(".")) if config.result else ()
        self._nullable = operation.output_nullable
        self._read = _reader(operation.output, operation.output_nullable, types) if operation.output else None
        declared = {error.code: error for error in operation.errors}
        self._errors = {status: _Declared(declared[code], types) for status, code in config.errors.items()}

    def read(self, answer: Fetched, call_id: str) -> Any:
        """The canonical output. Raises the declared error of the status, or BadGateway, logged with its reason."""
        if declared := self._errors.get(answer.status):
            raise declared.problem(answer)
        if not 200 <= answer.status <= 299:
            raise _bad(call_id, f"The backend answered {answer.status}.")
        if self._read is None:
            return None
        if not answer.body:
            return self._nothing(answer, call_id)
        try:
            value = loads(answer.body)
        except InvalidInput as error:
            raise _bad(call_id, f"The backend's answer is not valid JSON ({error.target}).") from error
        part, place = self._part(value, call_id)
        try:
            return self._read(part)
        except InvalidInput as error:
            raise _unfit(call_id, error, place) from None

    def _nothing(self, answer: Fetched, call_id: str) -> None:
        if not self._nullable or self._path:
            raise _bad(call_id, f"The backend answered {answer.status} without a body.")

    def _part(self, value: Any, call_id: str) -> tuple[Any, str]:
        """What stands at the configured path, and the path as text."""
        place = "$"
        for key in self._path:
            place = f"{place}.{key}"
            value = _step(value, key)
            if value is _MISSING:
                raise _bad(call_id, f"The backend's answer has no {place}.", place)
        return value, place


def _step(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key, _MISSING)
    if isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
        return value[int(key)]
    return _MISSING


def _bad(call_id: str, message: str, target: str | None = None) -> BadGateway:
    log.warning("call %s: %s", call_id, message)
    return BadGateway(message, target=target)


def _unfit(call_id: str, error: InvalidInput, root: str) -> BadGateway:
    """The places are those of the whole answer; messages say what was expected, never what came."""
    places = [(root + detail.target.removeprefix("$"), detail.message) for detail in error.details]
    place, message = places[0]
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    return _bad(call_id, f"The backend's answer does not fit the contract: {place} {message}{more}.", place)


def _reader(type_: Type, nullable: bool, types: Types) -> Keep:
    read, keep = reader(type_, nullable, types), _Keeper(types).of(type_)
    return lambda value: read(keep(value))


class _Declared:
    """A declared error as it is raised: its own class, so that its code, status and title are the declared ones."""

    def __init__(self, error: DeclaredError, types: Types) -> None:
        members = {"code": error.code, "status": error.status, "title": error.title}
        self._kind: type[Problem] = type(error.code, (Problem,), members)
        record = None if error.detail is None else types.resolve(error.detail)
        self._read = _reader(record, False, types) if isinstance(record, Record) else None

    def problem(self, answer: Fetched) -> Problem:
        """With the service's own text, and the fields of the declared detail as extensions."""
        try:
            value = loads(answer.body) if answer.body else None
        except InvalidInput:
            value = None
        problem = self._kind(_text(value), headers=_retry_after(answer))
        if self._read is not None:
            try:
                problem.extensions = self._read(value)
            except InvalidInput as error:
                log.warning("the detail of %s does not fit its type: %s", problem.code, error.detail)
        return problem


def _retry_after(answer: Fetched) -> list[tuple[bytes, bytes]]:
    """When to come back, in seconds, where the service says so (RFC 9110 section 10.2.3)."""
    given = answer.get(b"retry-after")
    return [(b"retry-after", given)] if given is not None and len(given) < 10 and given.isdigit() else []


def _text(value: Any) -> str:
    """The service's explanation, where it gives one as problem details or in the usual member."""
    if isinstance(value, dict):
        for name in ("detail", "message"):
            if isinstance(text := value.get(name), str):
                return text[:_MAX_DETAIL]
    return ""


class _Keeper:
    """Compiles what keeps the declared fields of a JSON value and drops the others."""

    def __init__(self, types: Types) -> None:
        self.types = types
        self.named: dict[str, Keep] = {}

    def of(self, type_: Type) -> Keep:
        if isinstance(type_, Ref):
            return self.reference(type_.name)
        if isinstance(type_, Array):
            item = self.of(type_.item)
            return lambda value: [item(part) for part in value] if isinstance(value, list) else value
        if isinstance(type_, Record):
            parts = {field.name: self.of(field.type) for field in type_.fields}
            return lambda value: (
                {name: parts[name](part) for name, part in value.items() if name in parts}
                if isinstance(value, dict)
                else value
            )
        return _whole

    def reference(self, name: str) -> Keep:
        """A type that contains itself finds its keeper by name, when a value is there."""
        if name not in self.named:
            self.named[name] = lambda value: self.named[name](value)  # noqa: PLW0108 - it is replaced below
            self.named[name] = self.of(self.types[name])
        return self.named[name]


def _whole(value: Any) -> Any:
    return value
