"""The Authorization field (RFC 9110 section 11.6.2), as several authenticating kinds read it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from gateway.core.errors import BadRequest
from gateway.core.exchange import Head
from gateway.core.headers import finder

FIELD: Final = b"authorization"
LONGEST: Final = 8192  # bytes of a credential


@lru_cache(maxsize=64)
def reader(scheme: str, longest: int = LONGEST) -> Callable[[Head], bytes | None]:
    """What stands behind `scheme`; None when no such credential is there. In two places it is refused (CASES C41). The
    same for all steps of one scheme, as it is a key of `Head.memo`."""
    find = finder(FIELD)
    start = scheme.lower().encode() + b" "

    def read(head: Head) -> bytes | None:
        values = find(head.block)
        ours = [value for value in values if value[: len(start)].lower() == start]
        if not ours:
            return None
        if len(values) > 1:
            raise BadRequest("A request has one Authorization field. Send one credential in it.")
        if len(ours[0]) > longest:
            raise BadRequest(f"A credential of {scheme} has at most {longest} bytes.")
        return ours[0][len(start) :].strip()

    return read
