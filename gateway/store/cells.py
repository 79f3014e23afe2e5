"""The seam of bytes that requests leave for others: values with a time to live, tags to purge them by, and claims.

A key has several fields, written and read together in one step; all of it ends with its time to live. A claim is a
value that one holder puts where there is none, and that nobody else can replace. Everything is best effort over one
connection: what the store cannot do now is delivered as None, at once or within the connection's time-out.
Implementations: `redis_cells.RedisCells` (one server or a cluster), `memory_cells.MemoryCells`; one parametrised suite
runs on all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

LARGEST: Final = 4 * 1024 * 1024  # bytes of one write: a larger one would hold up the others on the connection
UNSENT: Final = 32 * 1024 * 1024  # bytes of all writes of a worker that the store has not answered
BURIED: Final = 900.0  # seconds for which a purge refuses what was begun before it

Read = Callable[["Sequence[bytes | None] | None"], None]  # a value per field; None: the store cannot tell
Written = Callable[["bool | None"], None]  # False: refused, as it was purged meanwhile or is too large
Claimed = Callable[["bytes | bool | None"], None]  # True: it is yours; bytes: what is there; None: nobody can tell


def ignored(_done: bool | None) -> None:
    """Best effort, for who does not wait."""


class Cells(Protocol):
    def open(self) -> None:
        """Called while something is built that uses them: connects in the background. Again and again is harmless."""
        ...

    def read(self, key: str, fields: Sequence[bytes], deliver: Read) -> None: ...

    def write(
        self,
        key: str,
        values: Mapping[bytes, bytes],
        ttl: float,
        deliver: Written,
        *,
        tags: Sequence[str] = (),
        age: float = 0.0,
        most: int = 0,
    ) -> None:
        """Puts the fields beside those that are there. What was begun `age` seconds ago is refused when the key or
        one of its tags was purged since. `most`: so many fields a key may have (0: any number); one of the others goes
        for a new one."""
        ...

    def claim(self, key: str, mine: bytes, ttl: float, deliver: Claimed) -> None: ...

    def settle(self, key: str, mine: bytes, value: bytes, ttl: float, deliver: Written) -> None:
        """Puts a value in the place of a claim that is still `mine`."""
        ...

    def release(self, key: str, mine: bytes, deliver: Written = ignored) -> None:
        """Takes a claim away that is still `mine`. Once that is delivered the next one has it, on whichever worker."""
        ...

    async def purge(self, tag: str) -> int:
        """Drops every key with that tag, on all nodes; how many there were. Raises StoreUnavailable, when some may be
        left: purge again."""
        ...

    async def close(self) -> None: ...
