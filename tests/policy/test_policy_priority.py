"""The policy kind `priority`, and the pressure that it goes by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.clock import ManualClock
from gateway.core.kinds import Services
from gateway.core.live import Limits
from gateway.policy import priority
from gateway.server.overload import Overload
from tests.policy.policy_harness import Gateway, json_of
from tests.serving import cell

CLASSES: dict[str, Any] = {
    "critical": {"header": {"X-Who": "billing"}},
    "high": {"path": {"prefix": "/orders"}},
    "low": {"header": {"X-Who": "batch"}},
}
CALLS = {"critical": ("/x", b"billing"), "high": ("/orders/1", b"a"), "normal": ("/x", b"a"), "low": ("/x", b"batch")}


class Pressed:
    def __init__(self, level: int) -> None:
        self.level = level

    def pressure(self) -> int:
        return self.level


async def admitted(gateway: Gateway, level: int) -> list[str]:
    site = replace(gateway.site("classes"), services=Services(Pressed(level)))
    built = priority.build(priority.Priority.model_validate(CLASSES), site)
    found = []
    for name, (target, who) in CALLS.items():
        answer = await gateway.request(gateway.chain(built), [(b"X-Who", who)], target)
        if answer.status == 200:
            found.append(name)
        else:
            assert (answer.status, answer.get(b"retry-after"), json_of(answer)["code"]) == (503, b"1", "overloaded")
    return found


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0, "critical high normal low"), (1, "critical high normal"), (2, "critical high"), (3, "critical")],
)
async def test_the_less_important_are_refused_first(gateway: Gateway, level: int, expected: str) -> None:
    assert await admitted(gateway, level) == expected.split()


async def test_a_condition_that_errs_raises_nobodys_class(gateway: Gateway) -> None:
    config = priority.Priority.model_validate({"critical": {"query": {"a": "b"}}})
    built = priority.build(config, replace(gateway.site("classes"), services=Services(Pressed(2))))
    assert (await gateway.request(gateway.chain(built), target="/x?a=%zz")).status == 503


@pytest.mark.parametrize("config", [{"high": {}}, {"high": {"moon": 1}}, {"default": "x"}, {"low": {"cel": "true"}}])
def test_classes_that_cannot_be_meant_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        priority.Priority.model_validate(config)


@pytest.mark.parametrize(("running", "level"), [(0, 0), (69, 0), (70, 1), (80, 2), (90, 3), (100, 3)])
def test_exchanges_in_flight_press(running: int, level: int) -> None:
    live = cell()
    live.limits, live.clock = Limits(exchanges=100), ManualClock()
    live.running = running
    assert Overload(live).pressure() == level


def test_a_loop_that_lags_presses_the_more_the_more_of_its_room_is_taken() -> None:
    live = cell()
    live.limits, live.clock = Limits(exchanges=1000, lag=0.2), ManualClock()
    overload = Overload(live)
    overload.looked(1.0)
    found = []
    for taken in (0.0, 0.6, 0.9):
        overload._admitted = int(taken * overload._room)
        found.append(overload.pressure())
    assert found == [1, 2, 3]
