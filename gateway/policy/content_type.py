"""Media types of bodies that policies change (RFC 9110 section 8.3), each read once."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_TYPE: Final = re.compile(rf"[ \t]*+({_WORD})/({_WORD})(.*)", re.DOTALL)
_CHARSET: Final = re.compile(rf';[ \t]*+charset=(?:"([^"\\]*+)"|({_WORD}))', re.IGNORECASE)
_LONGEST: Final = 500  # characters of a Content-Type that is looked at


class Media(NamedTuple):
    """`name` in lower case, without parameters; empty when there is none that can be read."""

    name: str = ""
    charset: str | None = None

    @property
    def is_json(self) -> bool:
        return self.name.endswith(("/json", "+json")) and self.charset in (None, "utf-8", "utf8", "us-ascii")

    @property
    def is_xml(self) -> bool:
        return self.name in ("application/xml", "text/xml") or self.name.endswith("+xml")


NONE: Final = Media()


def read(value: bytes | None) -> Media:
    return NONE if value is None else _read(value[:_LONGEST])


@lru_cache(maxsize=512)
def _read(value: bytes) -> Media:
    match = _TYPE.fullmatch(value.decode("latin-1"))
    if match is None:
        return NONE
    charset = _CHARSET.search(match[3])
    return Media(
        f"{match[1]}/{match[2]}".lower(), None if charset is None else (charset[1] or charset[2] or "").lower()
    )
