"""How a worker's garbage collection is set: rarely, and never over what lives as long as the worker. Decision 0016 has
the figures."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (50_000, 20, 100)  # requests in flight hold some 20 objects each


PART: Final = 50  # versions of a long build between two `keep`s


def keep() -> None:
    """In the course of building much, and after it: what is there now is to stay. Without it a full collection in the
    midst of a thousand versions stops a loop for a fifth of a second."""
    gc.set_threshold(*THRESHOLDS)
    gc.freeze()


def settle() -> None:
    """Called once, when everything is loaded and before the first request: what is there now is never looked at again.
    A part of it that is replaced later and stands in a circle is not freed; that is once, and no more than was there.
    """
    gc.set_threshold(*THRESHOLDS)
    gc.collect()
    gc.freeze()
