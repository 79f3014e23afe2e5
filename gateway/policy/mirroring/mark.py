"""The field by which a copy of a request is known, `X-Mirrored-From: shop@v2; at=1767225600; proof=…`.

What has it is not copied again, so that a mirror that leads back here ends. Anybody could write the field: what counts
is the proof, made with the cluster's key secret, and good for a minute only, as whoever gets copies sees it.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from gateway.core import headers
from gateway.core.clock import Clock
from gateway.core.secrets import KeyHasher

MARK: Final = b"X-Mirrored-From"
LASTS: Final = 60  # seconds
_PURPOSE: Final = "mirror"
_VALUE: Final = re.compile(rb"([!-:<-~]{1,200}); at=([0-9]{1,12}); proof=([0-9a-f]{32})")
_find: Final = headers.finder(MARK.lower())


class Marker:
    """`source`: the component@version whose requests are copied. Without a hasher nothing is proved."""

    def __init__(self, source: str, hasher: KeyHasher | None, clock: Clock) -> None:
        self._source = source.encode()
        self._key = None if hasher is None else hasher.derive(_PURPOSE)
        self._clock = clock

    def value(self) -> bytes:
        now = int(self._clock.time())
        if self._key is None:
            return self._source
        return b"%b; at=%d; proof=%b" % (self._source, now, _proof(self._key, self._source, now))

    def line(self) -> bytes:
        return headers.line(MARK, self.value())

    def holds(self, block: bytes) -> bool:
        """Whether a request is a copy that a gateway of this cluster made just now."""
        given = _find(block)
        if len(given) != 1 or self._key is None:
            return False
        match = _VALUE.fullmatch(given[0])
        if match is None or abs(self._clock.time() - int(match[2])) > LASTS:
            return False
        return hmac.compare_digest(match[3], _proof(self._key, match[1], int(match[2])))


def _proof(key: bytes, source: bytes, at: int) -> bytes:
    return hmac.digest(key, b"%b %d" % (source, at), "sha256")[:16].hex().encode()
