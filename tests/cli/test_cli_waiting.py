"""`penstock publish --wait`: what it waits for, and what it says when that does not come."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.client import UNREACHABLE, Failed
from gateway.cli.waiting import until_ready


class Answers:
    """An admin REST that answers so, one after the other, the last one for ever."""

    def __init__(self, *answers: dict[str, Any] | Failed) -> None:
        self.answers = list(answers)
        self.asked = 0

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/health"
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Failed):
            raise found
        return found


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


UP = {"ready": True, "store": "up"}


def wait(*answers: dict[str, Any] | Failed) -> int:
    admin, clock = Answers(*answers), Clock()
    until_ready(admin, 10, clock.now, clock.sleep)  # type: ignore[arg-type]
    return admin.asked


def test_a_gateway_that_is_up_is_asked_once() -> None:
    assert wait(UP) == 1


def test_it_waits_for_the_port_the_token_the_store_and_the_workers() -> None:
    refused = Failed("No gateway answers.", UNREACHABLE)
    unknown = Failed("The admin token is unknown.")
    away = {"ready": False, "store": "The store cannot be reached."}
    assert wait(refused, unknown, away, {"ready": False, "store": "up"}, UP) == 5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Failed("No gateway answers at http://a."), "No gateway answers at http://a."),
        ({"ready": True, "store": "The store cannot be reached."}, "The store cannot be reached."),
        ({"ready": False, "store": "up"}, "still starting"),
    ],
)
def test_when_it_gives_up_it_says_what_was_missing(answer: dict[str, Any] | Failed, said: str) -> None:
    with pytest.raises(Failed, match="Not ready within 10 s") as caught:
        wait(answer)
    assert said in str(caught.value)
    assert caught.value.code == UNREACHABLE
