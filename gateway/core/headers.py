"""Raw header blocks: `\\r\\nName: value` per field, as they stand on the wire after the start line.

The relay forwards blocks untouched; these functions find, drop and add fields without parsing all of them.
Names are compared without case (RFC 9110 section 5.1); values are bytes without surrounding blanks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

Fields = list[tuple[bytes, bytes]]

# The grammar of RFC 9110 section 5, as expressions that never go back.
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
VALUE = rb"[\t -~\x80-\xff]*+"
LINES = rb"(?:\r\n" + TOKEN + rb":" + VALUE + rb")*+"

_FIELD = re.compile(rb"\r\n([^:\r\n]+):[ \t]*+([^\r\n]*+)")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def either(names: Iterable[bytes]) -> bytes:
    """An expression for one of these names in whatever case. Each is an expression that begins with a letter, or with
    another character of a name that stands for itself. They are put together by it, written in both cases: by that the
    engine passes over the lines of others at once, which it cannot do for a whole expression that ignores case."""
    rests: dict[bytes, list[bytes]] = {}
    for name in names:
        rests.setdefault(name[:1].lower(), []).append(name[1:])
    return b"|".join(_first(letter) + b"(?i:%b)" % b"|".join(rest) for letter, rest in rests.items())


def _first(letter: bytes) -> bytes:
    return b"[%b%b]" % (letter, letter.upper()) if letter.isalpha() else re.escape(letter)


def escaped(name: bytes) -> bytes:
    """For `either`."""
    return name[:1] + re.escape(name[1:])


def parse(block: bytes) -> Fields:
    """Every field of a block, names in lower case, in order."""
    return [(name.lower(), value.rstrip()) for name, value in _FIELD.findall(block)]


@lru_cache(maxsize=1024)
def finder(name: bytes) -> Callable[[bytes], list[bytes]]:
    """A function that lists a field's values in a block; compile it at publish time, call it per request."""
    findall = re.compile(rb"\r\n" + either((escaped(name),)) + rb":[ \t]*+([^\r\n]*+)").findall

    def find(block: bytes) -> list[bytes]:
        return [value.rstrip() for value in findall(block)]

    return find


@lru_cache(maxsize=1024)
def dropper(names: frozenset[bytes]) -> Callable[[bytes], bytes]:
    """A function that removes the named fields from a block."""
    if not names:
        return lambda block: block
    sub = line_of(map(escaped, sorted(names))).sub
    return lambda block: sub(b"", block)


def line_of(names: Iterable[bytes]) -> re.Pattern[bytes]:
    """Matches a field with one of these names (see `either`)."""
    return re.compile(rb"\r\n(?:" + either(names) + rb"):[^\r\n]*+")


def line(name: bytes, value: bytes) -> bytes:
    """One field as it stands in a block. ValueError when it could break the message (CASES F22)."""
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"not a header name: {name!r}")
    if _BAD_VALUE.search(value):
        raise ValueError(f"the value of header {name.decode()} holds a control character")
    return b"\r\n" + name + b": " + value


def _name(text: str) -> str:
    line(text.encode("ascii", "replace"), b"")
    return text


FieldName = Annotated[str, AfterValidator(_name)]
"""Of a configuration: a name that a field may have."""


def block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Fields as a block."""
    return b"".join(line(name, value) for name, value in fields)
