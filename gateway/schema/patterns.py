"""Patterns of JSON Schema (ECMA 262), matched in linear time: no text and no pattern can make a match backtrack.

The engine is the one inside pydantic-core (Rust's `regex`), which has neither look-around nor back-references.
A pattern that needs them is refused when it is read, never when a request arrives (CASES B56).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

_CLASSES: Final = {
    "d": "[0-9]",
    "D": "[^0-9]",
    "w": "[A-Za-z0-9_]",
    "W": "[^A-Za-z0-9_]",
}  # ECMA's are ASCII, the engine's are Unicode
_TOKEN: Final = re.compile(r"\\(?P<escaped>.)|(?P<plain>[^\\])", re.DOTALL)


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether the pattern occurs in a text. ValueError says why a pattern cannot be used."""
    try:
        validate = SchemaValidator(core_schema.str_schema(pattern=_translate(pattern), strict=True)).isinstance_python
        validate("")
    except (SchemaError, ValidationError) as error:
        raise ValueError(
            f"the pattern {pattern!r} cannot be matched in linear time or is malformed; "
            "write it without look-around and back-references"
        ) from error
    return validate


def _translate(pattern: str) -> str:
    """ECMA's spelling in the engine's: classes are ASCII, `[` and set operators inside a class are literal."""
    out: list[str] = []
    in_class = False
    for token in _TOKEN.finditer(pattern):
        escaped, plain = token.group("escaped"), token.group("plain")
        if escaped is not None:
            out.append(_CLASSES.get(escaped, "\\" + escaped))
        elif in_class and plain in "[&~":
            out.append("\\" + plain)
        else:
            in_class = plain == "[" or (in_class and plain != "]")
            out.append(plain)
    return "".join(out)
