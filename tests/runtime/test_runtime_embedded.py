"""Processes inside of the worker."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import functools
import logging
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sample_processes as sample

from gateway import Problem, process
from gateway.core.call import Call, Context
from gateway.core.errors import InternalError, InvalidInput, Unavailable
from gateway.core.findings import DocumentsRefused
from gateway.runtime.embedded import EmbeddedRuntime
from gateway.runtime.registry import Registry


async def run(function: Any, **input_: Any) -> Any:
    registry = Registry.of(function)
    (name,) = registry.described()
    runtime = EmbeddedRuntime(registry)
    try:
        return await runtime.runner(name)(Call(name, input_, Context("call-1")))
    finally:
        runtime.close()


LINE = {"sku": "A1", "quantity": 1, "price": Decimal("1.50"), "colour": "red"}


async def test_an_async_process_gets_its_context_and_its_model_comes_back_canonical() -> None:
    assert await run(sample.get_order, id=7) == {
        "id": 7, "lines": [LINE], "placed": None, "parent": None, "state": "open", "shownAs": "call-1",
    }  # fmt: skip


async def test_a_plain_process_gets_a_model_and_its_own_default() -> None:
    order = {"id": 1, "lines": [LINE], "shownAs": "x", "parent": {"id": 2, "lines": []}}
    result = await run(sample.double, order=order)
    assert result["lines"] == [LINE, LINE]
    assert result["parent"]["id"] == 2


async def test_scalars_enums_and_tuples_reach_the_function_as_annotated() -> None:
    key = UUID(int=5)
    now = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
    result = await run(
        sample.scalars, i=1, f=1.5, d=Decimal(1), s="s", b=True, raw=b"r", at=now, day=now.date(), hour=now.time(),
        span=datetime.timedelta(1), key=key, free={"a": [1]}, size=2,
    )  # fmt: skip
    assert result == [1, 1.5, "s", True, {"a": [1]}, str(key), 2]


async def test_dataclasses_and_typed_dicts_go_in_and_come_out() -> None:
    address = {"street": "Main", "zip": "12345", "tags": ["x"], "size": 2}
    assert await run(sample.move, address=address, row={"a": 1, "b": address}) == {"a": 1, "b": address}


async def test_a_process_without_output_answers_nothing() -> None:
    assert await run(sample.forget, id=1) is None


async def test_a_declared_error_passes_through() -> None:
    with pytest.raises(sample.NoSuchOrder, match="no order 404"):
        await run(sample.get_order, id=404)


async def test_what_a_models_own_validator_refuses_is_invalid_input_with_its_place() -> None:
    with pytest.raises(InvalidInput) as refused:
        await run(sample.double, order={"id": 13, "lines": []})
    assert refused.value.target == "$.order.id"
    assert "thirteen" in refused.value.detail


async def test_an_undeclared_exception_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(InternalError) as failed:
        await run(sample.break_down)
    assert "hunter2" not in failed.value.detail
    assert "call-1" in failed.value.detail
    assert "call-1" in caplog.text
    assert "hunter2" in caplog.text


async def test_a_result_that_does_not_fit_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(InternalError) as failed:
        await run(sample.lie)
    assert "no number" not in failed.value.detail
    assert "does not fit its contract" in caplog.text


async def test_an_exit_inside_of_a_process_does_not_end_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    @process
    async def leave() -> None:
        sys.exit(3)

    with pytest.raises(InternalError):
        await run(leave)


async def test_a_stop_iteration_of_a_plain_process_is_a_failure_like_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @process
    def stop() -> None:
        next(iter(()))

    with pytest.raises(InternalError):
        await run(stop)


async def test_a_decorated_async_process_is_awaited() -> None:
    def traced(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @process
    @traced
    async def add(a: int, b: int) -> int:
        return a + b

    assert await run(add, a=1, b=2) == 3


async def test_a_caller_that_leaves_keeps_its_thread_taken_until_the_work_is_done() -> None:
    release, started = threading.Event(), threading.Event()

    @process
    def hold() -> None:
        started.set()
        release.wait(10)

    runtime = EmbeddedRuntime(Registry.of(hold), threads=1, waiting=1)
    runner = runtime.runner("hold")
    call = Call("hold", {}, Context("c"))
    task = asyncio.ensure_future(runner(call))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(Unavailable):
        await runner(call)
    release.set()
    runtime.close()


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="none")


async def test_a_plain_process_keeps_context_variables_and_leaves_the_loops_thread() -> None:
    @process
    def look() -> list[str]:
        return [VARIABLE.get(), threading.current_thread().name]

    VARIABLE.set("kept")
    value, thread = await run(look)
    assert value == "kept"
    assert thread != threading.current_thread().name


async def test_calls_beyond_the_waiting_room_are_refused_with_503() -> None:
    release = threading.Event()

    @process
    def hold() -> None:
        release.wait(10)

    runtime = EmbeddedRuntime(Registry.of(hold), threads=1, waiting=2)
    runner = runtime.runner("hold")
    call = Call("hold", {}, Context("c"))
    under_way = [asyncio.ensure_future(runner(call)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await runner(call)
    release.set()
    await asyncio.gather(*under_way)
    await runner(call)
    runtime.close()


def test_an_unknown_process_is_named_with_what_comes_near() -> None:
    with pytest.raises(LookupError, match="did you mean get_order"):
        EmbeddedRuntime(Registry.of(sample.get_order)).runner("get_orders")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def write(folder: Path, name: str, **modules: str) -> None:
    (folder / name).mkdir()
    for module, text in {"__init__": "", **modules}.items():
        (folder / name / f"{module}.py").write_text(text)


PROCESS = "from gateway import process\n@process\ndef {name}() -> int:\n    return 1\n"


def test_a_registry_reads_a_package_with_all_its_modules(package: Path) -> None:
    write(package, "orders_a", one=PROCESS.format(name="one"), two="from orders_a.one import one\n")
    registry = Registry.load(["orders_a"])
    assert list(registry.described()) == ["one"]


def test_two_processes_of_one_name_are_refused_with_both_places(package: Path) -> None:
    write(package, "orders_b", one=PROCESS.format(name="same"), two=PROCESS.format(name="same"))
    with pytest.raises(DocumentsRefused) as refused:
        Registry.load(["orders_b"])
    text = str(refused.value)
    assert "one.py" in text
    assert "two.py" in text


def test_everything_that_is_wrong_with_the_packages_is_told_at_once(package: Path) -> None:
    bad = "from gateway import process\n@process\ndef f(a) -> int:\n    return a\n"
    write(package, "orders_c", one=bad, two="raise RuntimeError('no')")
    with pytest.raises(DocumentsRefused) as refused:
        Registry.load(["orders_c", "no_such_package_at_all"])
    assert len(refused.value.findings) == 3


async def test_a_standard_problem_raised_by_a_process_passes_through() -> None:
    class Odd(Problem):
        status = 409

    @process
    async def run_odd() -> None:
        raise Odd("no")

    with pytest.raises(Odd):
        await run(run_odd)
