"""The backend kind `fixed`: an operation that always answers the same, for stubs and tests."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.call import Call
from gateway.core.errors import InvalidInput
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.kinds import BackendKind, Services
from gateway.schema.json_codec import reader
from gateway.schema.types import Operation, Types


class FixedOperation(BaseModel):
    """The answer, as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Any = Field(None, description="checked against the operation's output when it is published")


class FixedBackend:
    """Answers one canonical value; every call gets a copy of its own."""

    def __init__(self, value: Any) -> None:
        self._value = value

    async def invoke(self, _call: Call) -> Any:
        return copy.deepcopy(self._value)

    async def close(self) -> None:
        """Nothing is held."""


def _bind(config: FixedOperation, _connection: None, operation: Operation, types: Types, _services: Services) -> Any:
    return FixedBackend(_checked(config.value, operation, types))


def _checked(value: Any, operation: Operation, types: Types) -> Any:
    if operation.output is None:
        if value is None:
            return None
        raise DocumentsRefused(
            [_finding(operation, "$", "the operation has no output, so its fixed value must be null")]
        )
    try:
        return reader(operation.output, operation.output_nullable, types)(value)
    except InvalidInput as error:
        raise DocumentsRefused(_finding(operation, each.target, each.message) for each in error.details) from error


def _finding(operation: Operation, target: str, message: str) -> Finding:
    text = f"The fixed value of {operation.name} does not fit its output: {target} {message}."
    return Finding(Place(path=f"/operations/{operation.name}/fixed"), "fixed-value", text, "Change one of the two.")


KIND = BackendKind(
    name="fixed",
    connection=None,
    operation=FixedOperation,
    open=None,
    bind=_bind,
    summary="Always the same answer.",
)
