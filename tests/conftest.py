"""Options of all tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests import modules, soak
from tests.loop_watch import LoopWatch, excuse
from tests.servers import cluster, embedded, prefix, sentinel, valkey

# Of all tests, so that a process starts each server once.
__all__ = ["cluster", "embedded", "prefix", "sentinel", "valkey"]

# How long a machine takes tells nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_watch = LoopWatch()


def pytest_configure(config: pytest.Config) -> None:
    _watch.install()
    if config.getoption("--uvloop"):
        config.pluginmanager.register(OnUvloop())


def pytest_unconfigure() -> None:
    _watch.remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test in which one callback blocked the loop fails (CASES A67)."""
    excused = excuse(item)
    _watch.reset()
    result = yield
    if excused is None and (complaint := _watch.complaint()):
        pytest.fail(complaint, pytrace=False)
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return modules.scheduler(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite what the golden pairs expect, then look")
    parser.addoption("--uvloop", action="store_true", help="run asynchronous tests on the loop that workers run on")


class OnUvloop:
    """The loop that workers run on: its transports raise where those of asyncio forgive, so what is closed must not be
    written to."""

    def pytest_asyncio_loop_factories(self) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def record(request: pytest.FixtureRequest) -> soak.Record:
    """Notes a figure of a soak test in `benchmarks/soak.md`: `record("failed requests", "0 of 30000")`."""
    assert request.node.get_closest_marker("soak"), "figures of wall-clock time belong to tests marked soak"
    return soak.recorder(request.node.name)
