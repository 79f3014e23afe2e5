"""Header fields in configurations: checked once, so that none can break a message (CASES F22)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.core import headers

Fields = dict[str, str]

FRAMING: Final = frozenset(
    (
        "connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    )
)  # fmt: skip


def checked(fields: Mapping[str, str]) -> headers.Fields:
    """As bytes. ValueError names a field that could break the message."""
    names(fields)
    found = []
    for name, value in fields.items():
        pair = (name.encode("ascii"), value.encode("latin-1"))
        headers.line(*pair)
        found.append(pair)
    return found


def names(fields: Iterable[str]) -> list[bytes]:
    """Lower-case names. ValueError for those that belong to the connection or the framing, not to a policy."""
    found = []
    for name in fields:
        if name.lower() in FRAMING:
            raise ValueError(f"`{name}` belongs to the connection (RFC 9110 section 7.6.1); the gateway sets it itself")
        headers.line(name.encode("ascii", "replace"), b"")
        found.append(name.lower().encode("ascii"))
    return found
