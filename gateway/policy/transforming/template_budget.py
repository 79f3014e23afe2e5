"""How much a template may do: every turn, call and character is counted against it before it is done or made.

A budget that ends raises TooMuch, or Later where the work may go on off the loop.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Final

from gateway.policy.transforming.rewriting import Later, TooMuch

LONGEST: Final = 65_536  # characters of a template
AT_ONCE: Final = 20_000  # units of work that are done on the loop: a few milliseconds
EACH: Final = 50  # units of a turn, a call, a filter
CHARACTERS: Final = 16  # that are one unit


class Budget:
    """Work that is left, and when it must be done."""

    __slots__ = ("_limit", "_size", "_until", "_work", "final")

    def __init__(self, work: int, size: int, seconds: float, final: bool = True) -> None:
        self._work = work
        self._size = self._limit = size
        self._until = time.monotonic() + seconds
        self.final = final

    def spend(self, units: int) -> None:
        self._work -= units
        if self._work < 0:
            raise TooMuch("does more work than it may") if self.final else Later
        if time.monotonic() > self._until:
            raise TooMuch("takes longer than it may") if self.final else Later

    def made(self, characters: int) -> None:
        """A text of this length is about to be made."""
        if characters > self._limit:
            raise TooMuch(f"makes a text of more than {self._limit} characters")
        self.spend(EACH + characters // CHARACTERS)

    def written(self, characters: int) -> None:
        """It goes out."""
        self._size -= characters
        if self._size < 0:
            raise TooMuch(f"writes more than {self._limit} characters")
        self.spend(1 + characters // CHARACTERS)


running: Final[ContextVar[Budget | None]] = ContextVar("budget", default=None)


def spend(units: int = EACH) -> None:
    budget = running.get()
    if budget is not None:  # None: a constant, while the template is compiled
        budget.spend(units)


def about_to_make(characters: int) -> None:
    budget = running.get()
    if budget is not None:
        budget.made(characters)
    elif characters > LONGEST:
        raise TooMuch(f"makes a text of more than {LONGEST} characters")


def about_to_write(characters: int) -> None:
    budget = running.get()
    if budget is not None:
        budget.written(characters)
