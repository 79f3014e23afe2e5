"""Waiting for a gateway that is starting, as a job that publishes right after an installation does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from gateway.cli.client import Admin
from gateway.cli.failures import UNREACHABLE, Failed

PAUSE: Final = 1.0  # seconds between two looks


def until_ready(
    admin: Admin,
    seconds: float,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Until the admin REST answers that its node is up and has its store, for so many seconds. Failed tells what was
    missing last."""
    end = now() + seconds
    while (missing := _missing(admin)) is not None:
        if now() >= end:
            raise Failed(f"Not ready within {seconds:g} s. {missing}", UNREACHABLE)
        sleep(PAUSE)


def _missing(admin: Admin) -> str | None:
    """What keeps it from taking documents; None: nothing. A token is unknown until the first node has made it."""
    try:
        told = admin.get("/health")
    except Failed as failed:
        return str(failed)
    if told["store"] != "up":
        return f"The gateway's store: {told['store']}"
    return None if told["ready"] else "The gateway at this URL is still starting; its log tells more."
