"""The words of an OData expression: literals, names and marks with their positions (OData 4.01 ABNF, part 2 of URL
conventions). What no word begins with is refused with its position; nothing is skipped but blanks."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.core.errors import BadRequest

MAX_LENGTH: Final = 8192  # characters of one expression


class Token(NamedTuple):
    """`kind` is a group of the grammar below, or `end`; `start` counts from 0."""

    kind: str
    text: str
    start: int
    end: int


_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,12})?)?"
_TOKEN: Final = re.compile(
    rf"""
    (?P<space>[ \t]+)
    |(?P<string>'(?:[^']|'')*+')
    |(?P<typed>[A-Za-z_][A-Za-z0-9_.]*+'(?:[^']|'')*+')
    |(?P<guid>[0-9A-Fa-f]{{8}}(?:-[0-9A-Fa-f]{{4}}){{3}}-[0-9A-Fa-f]{{12}}(?![\w-]))
    |(?P<datetime>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt]{_CLOCK}(?:[Zz]|[+-][0-9]{{2}}:[0-9]{{2}})?(?![\w.:+-]))
    |(?P<date>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?![\w.:+-]))
    |(?P<time>{_CLOCK}(?![\w.:+-]))
    |(?P<number>[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?(?![\w.:+-]))
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*+(?:\.[A-Za-z_][A-Za-z0-9_]*+)*+(?![\w.]))
    |(?P<special>[$@][A-Za-z_][A-Za-z0-9_]*+)
    |(?P<mark>[(),/:=-])
    """,
    re.VERBOSE,
)


def refuse(option: str, position: int, message: str) -> BadRequest:
    """A refusal that names the place; `position` counts from 0."""
    return BadRequest(f"{option}, character {position + 1}: {message}", target=option)


def split(text: str, option: str) -> list[Token]:
    """The tokens of an expression without its blanks; the last one has the kind `end`. BadRequest."""
    if len(text) > MAX_LENGTH:
        raise BadRequest(f"{option} is longer than {MAX_LENGTH} characters. Ask for less at once.", target=option)
    if "\x00" in text:
        raise refuse(option, text.index("\x00"), "the character NUL cannot stand in an expression.")
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise refuse(option, position, _reason(text, position))
        position = found.end()
        if found.lastgroup != "space":
            tokens.append(Token(found.lastgroup or "", found[0], found.start(), position))
    tokens.append(Token("end", "", position, position))
    return tokens


def _reason(text: str, position: int) -> str:
    if text[position] == "'":
        return "the string has no closing quote. A quote within a string is written twice."
    if text[position] == "+":
        return "a blank is written %20 in a URL, not +."
    return f"{text[position : position + 20]!r} is neither a name nor a literal."
