"""Processes that run inside the gateway's worker: the fast and trusted mode.

A function of `async def` runs on the worker's loop. A plain one runs in a pool of threads, with the caller's context
variables; calls wait for a thread up to a limit and are refused with 503 beyond it.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from gateway.core.call import Call
from gateway.core.errors import Detail, InternalError, InvalidInput, Problem, Unavailable
from gateway.core.trace import CURRENT, INTERNAL
from gateway.runtime.contracts import Process
from gateway.runtime.registry import Registry
from gateway.schema.json_write import Unfit, checked, compile_writer
from gateway.schema.places import ROOT, Path, render
from gateway.schema.types import Scalar

log: Final = logging.getLogger("gateway.runtime")

Runner = Callable[[Call], Awaitable[Any]]
Run = Callable[[dict[str, Any]], Awaitable[Any]]
Finish = Callable[[Any, Call], Any]


class EmbeddedRuntime:
    """`threads` run plain functions; `waiting` is how many calls may be under way or wait for one of them. `place` says
    whose log tells of what failed."""

    def __init__(self, registry: Registry, threads: int = 16, waiting: int = 256, place: str = "gateway") -> None:
        self.registry = registry
        self._place = place
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="process")
        self._waiting = waiting
        self._taken = 0
        self._lock = threading.Lock()

    def runner(self, name: str) -> Runner:
        """What runs a process: canonical input to canonical output. Built at publish time. LookupError for a name
        that is not hosted. The runner raises the process's own Problems, InvalidInput for what its models refuse,
        InternalError for everything else, of which the log tells more."""
        process = self.registry.get(name)
        failed = functools.partial(_failed, process, self._place)
        arguments, finish = _arguments(process), _finish(process, failed)
        run: Run = functools.partial(_call, process.function) if process.asynchronous else self._threaded(process)

        async def traced(call: Call) -> Any:
            trace = CURRENT.get()
            if trace is None:
                return await run_process(call)
            with trace.within(f"process {name}", INTERNAL) as span:
                call.context = replace(call.context, traceparent=trace.parent_of(span).decode())
                return await run_process(call)

        async def run_process(call: Call) -> Any:
            try:
                result = await run(arguments(call))
            except Problem:
                raise
            except (Exception, SystemExit) as error:
                raise failed(call, error) from error
            return finish(result, call)

        return traced

    def close(self) -> None:
        """Waits for no thread; calls that wait for one are given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _threaded(self, process: Process) -> Run:
        async def run(arguments: dict[str, Any]) -> Any:
            if self._taken >= self._waiting:
                raise Unavailable("All threads for processes are busy.", headers=[(b"retry-after", b"1")])
            with self._lock:
                self._taken += 1
            work = self._pool.submit(contextvars.copy_context().run, _call_plain, process.function, arguments)
            work.add_done_callback(self._give_back)
            return await asyncio.wrap_future(work)

        return run

    def _give_back(self, _work: Future[Any]) -> None:
        """Runs when the thread is done, which may be long after its caller has gone."""
        with self._lock:
            self._taken -= 1


async def _call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    return await function(**arguments)


def _call_plain(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return function(**arguments)
    except StopIteration as error:  # no future can hold one
        raise RuntimeError("the process raised StopIteration") from error


def _arguments(process: Process) -> Callable[[Call], dict[str, Any]]:
    """From a call to the function's keyword arguments."""
    loads, context = tuple(process.loads.items()), process.context

    def build(call: Call) -> dict[str, Any]:
        arguments = dict(call.input)
        for name, load in loads:
            if name in arguments:
                try:
                    arguments[name] = load(arguments[name])
                except ValidationError as error:
                    raise _invalid(name, error) from None
                except (ValueError, TypeError) as error:
                    raise InvalidInput(str(error), target=f"$.{name}") from error
        if context is not None:
            arguments[context] = call.context
        return arguments

    return build


def _invalid(parameter: str, error: ValidationError) -> InvalidInput:
    """What a model's own validators refuse, with its places and without the values."""
    details = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        path: Path = (ROOT, parameter)
        for key in each["loc"]:
            path = (path, key)
        details.append(Detail(render(path), each["msg"]))
    return InvalidInput(f"{details[0].target}: {details[0].message}", target=details[0].target, details=details)


def _finish(process: Process, failed: Callable[..., InternalError]) -> Finish:
    """From the function's result to a canonical value that fits the contract."""
    operation, dump = process.operation, process.dump
    if operation.output is None:
        return lambda _result, _call: None
    fit = compile_writer(operation.output, operation.output_nullable, process.types, _unspelled)

    def finish(result: Any, call: Call) -> Any:
        try:
            value = result if dump is None or result is None else dump(result)
            fit(value, ROOT)
        except Unfit as unfit:
            raise failed(call, unfit, f" at {render(unfit.path)}: {unfit}") from unfit
        except Exception as error:
            raise failed(call, error, f": {error}") from error
        return value

    return finish


def _unspelled(scalar: Scalar) -> Callable[[Any, Any], Any]:
    """The contract is checked; how a value is spelled is the frontend's."""
    return checked(scalar, None)


def _failed(process: Process, place: str, call: Call, error: BaseException, unfit: str | None = None) -> InternalError:
    """Logs the whole story; the client is told where to ask."""
    call_id = call.context.call_id
    if unfit is None:
        log.error("call %s: the process %s failed", call_id, process.name, exc_info=error)
    else:
        log.error("call %s: the result of %s does not fit its contract%s", call_id, process.name, unfit)
    return InternalError(f"The operation failed. The {place}'s log tells more under the id {call_id}.")
