"""Media types of bodies that policies change (RFC 9110 section 8.3), with their charset, each read once."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.policy.content import media

_CHARSET: Final = re.compile(r""";[ \t]*+charset=(?:"([^"\\]*+)"|([!#$%&'*+.^_`|~0-9A-Za-z-]++))""", re.IGNORECASE)
_LONGEST: Final = 500  # characters of a Content-Type that is looked at


class Media(NamedTuple):
    """`name` in lower case, without parameters; empty when there is none that can be read."""

    name: str = ""
    charset: str | None = None

    @property
    def is_json(self) -> bool:
        return media.is_json(self.name) and self.charset in (None, "utf-8", "utf8", "us-ascii")

    @property
    def is_xml(self) -> bool:
        return media.is_xml(self.name)


NONE: Final = Media()


def read(value: bytes | None) -> Media:
    return NONE if value is None else _read(value[:_LONGEST])


@lru_cache(maxsize=512)
def _read(value: bytes) -> Media:
    name = media.essence(value)
    charset = _CHARSET.search(value.decode("latin-1"))
    return Media(name, (charset[1] or charset[2] or "").lower() if name and charset is not None else None)
