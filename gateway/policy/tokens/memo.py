"""Tokens that were verified before: a bounded memory by the keyed hash of the token, which is not kept itself."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from gateway.core.identity import Identity

MOST: Final = 10_000  # tokens of a step


@dataclass(slots=True)
class Verified:
    """A token that holds from `since` until `until` (seconds since 1970), as verified by keys of this generation.
    `lines`: what of it the backend gets, as a raw block."""

    identity: Identity
    since: float
    until: float
    generation: int
    lines: bytes = b""


class Memo:
    """The one that was not used for longest goes first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Verified] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, digest: bytes, now: float, generation: int) -> Verified | None:
        found = self._kept.get(digest)
        if found is None:
            return None
        if found.since <= now < found.until and found.generation == generation:
            self._kept.move_to_end(digest)
            return found
        del self._kept[digest]
        return None

    def keep(self, digest: bytes, verified: Verified) -> None:
        self._kept[digest] = verified
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
