"""Problems between a worker and what hosts code for it: the same on both sides, or nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.core.errors import Detail, InvalidInput
from gateway.runtime.problem_messages import problem_from, problem_message

TOLD = problem_message(InvalidInput("no", target="$.a", details=[Detail("$.a", "must be", "odd")], also=1))


def test_a_problem_is_the_same_on_the_other_side() -> None:
    again = problem_from(orjson.loads(orjson.dumps(TOLD)))
    assert problem_message(again) == TOLD


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 200},
        {"status": "x"},
        {"title": None},
        {"headers": [["x", "a\r\nset-cookie: b"]]},
        {"headers": [["a b", "c"]]},
        {"details": [["a"]]},
        {"extensions": 1},
    ],
)
def test_what_is_no_problem_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        problem_from({**TOLD, **wrong})
