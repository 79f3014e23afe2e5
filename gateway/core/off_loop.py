"""Work that takes long is done beside the event loop, so that other requests do not wait for it.

Few threads: what waits for one holds its memory, and Python code gains nothing by more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

T = TypeVar("T")

THREADS: Final = 2
_NAME: Final = "off-loop"
LARGE: Final = 65_536  # bytes from which reading through a body belongs here


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix=_NAME)


def aside() -> bool:
    """Whether this code runs there."""
    return threading.current_thread().name.startswith(_NAME)


def off_loop(work: Callable[..., T], *given: object) -> asyncio.Future[T]:
    """The work's result, or what it raised. A future that is cancelled does not stop work that has begun."""
    return asyncio.get_running_loop().run_in_executor(_threads(), work, *given)
