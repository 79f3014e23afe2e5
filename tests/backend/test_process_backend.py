"""Operations that are processes, and operations that always answer the same."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.backend import fixed, process
from gateway.core.call import Call, Context
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import Services
from gateway.schema.types import Array, Operation, Record, Scalar, Types

CALL = Call("run", {"a": 1}, Context("c"))


class OneProcess:
    def runner(self, name: str, *_published: object) -> Any:
        if name != "echo":
            raise LookupError(f"no process {name}")

        async def run(call: Call) -> Any:
            return call.input

        return run


def operation(output: Any) -> Operation:
    return Operation("run", "safe", Record("run_input", ()), output)


async def test_a_process_backend_runs_the_process_of_the_host() -> None:
    services = Services(processes=OneProcess())
    config = process.ProcessOperation(process="echo")
    backend = process.KIND.bind(config, None, operation(None), Types(), services)
    assert await backend.invoke(CALL) == {"a": 1}
    await backend.close()


def test_a_process_that_no_host_has_is_refused_when_it_is_bound() -> None:
    with pytest.raises(LookupError, match="nothing"):
        process.KIND.bind(
            process.ProcessOperation(process="nothing"),
            None,
            operation(None),
            Types(),
            Services(processes=OneProcess()),
        )


async def test_a_fixed_answer_is_canonical_and_every_call_has_its_own() -> None:
    output = Array(Scalar("decimal"))
    backend = fixed.KIND.bind(fixed.FixedOperation(value=["1.5"]), None, operation(output), Types(), Services())
    first = await backend.invoke(CALL)
    first.append(None)
    assert await backend.invoke(CALL) == [Decimal("1.5")]


@pytest.mark.parametrize(("output", "value"), [(Scalar("int32"), "x"), (None, 1)])
def test_a_fixed_answer_that_does_not_fit_is_refused_when_it_is_bound(output: Any, value: Any) -> None:
    with pytest.raises(DocumentsRefused, match="fixed value of run"):
        fixed.KIND.bind(fixed.FixedOperation(value=value), None, operation(output), Types(), Services())
