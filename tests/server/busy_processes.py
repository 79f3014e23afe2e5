"""A process that takes the worker's loop: what a gateway at its capacity is made of."""

from __future__ import annotations

import time
from typing import Any

from gateway import process

TAKES = 0.005  # seconds of CPU


@process(effect="safe")
def busy() -> int:
    """Counts for a while."""
    end, turns = time.thread_time() + TAKES, 0
    while time.thread_time() < end:
        turns += 1
    return turns


@process
def sink(data: Any) -> int:
    """Takes what arrives."""
    return len(str(data))
