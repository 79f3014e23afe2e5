"""`penstock runtime` that is told to end: not ready at once, and there for its gateways until they had the time."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.secrets import Secret
from gateway.runtime.remote_link import Link, connect
from tests.server.far_runtime import TOKEN, FarRuntime
from tests.server.nodes import WAIT, ask, until


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarRuntime]:
    settings = {"PENSTOCK_RUNTIME_DRAIN_DELAY": "600", "PENSTOCK_RUNTIME_METRICS_PORT": "0"}
    far = FarRuntime(tmp_path, "leaving", f"unix:{tmp_path}/leaving.sock", **settings).start()
    yield far
    far.close()


def ready(far: FarRuntime) -> int:
    found = re.search(r"http://(\S+)/metrics", far.said)
    assert found is not None
    return ask("GET", f"http://{found[1]}/ready").status_code


async def linked(far: FarRuntime) -> Link:
    path = far.listen.removeprefix("unix:")
    return await connect(lambda: Link(Secret(TOKEN), 1024 * 1024, lambda: None), path, None, None)


async def test_a_runtime_that_is_told_to_end_is_not_ready_and_serves_for_its_drain_delay(far: FarRuntime) -> None:
    assert ready(far) == 200
    before = await linked(far)
    assert far.process is not None
    far.process.send_signal(signal.SIGTERM)
    until(lambda: ready(far) == 503, "it is not ready")
    after = await linked(far)
    assert (before.is_open, after.is_open) == (True, True)
    before.abort()
    after.abort()


async def test_a_second_signal_ends_the_delay_and_gateways_are_told(far: FarRuntime) -> None:
    link = await linked(far)
    assert far.process is not None
    far.process.send_signal(signal.SIGTERM)
    until(lambda: ready(far) == 503, "it is not ready")
    far.process.send_signal(signal.SIGTERM)
    await link.gone.wait()
    assert far.process.wait(WAIT) == 0
