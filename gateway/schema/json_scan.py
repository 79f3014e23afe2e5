"""One look through a JSON text (RFC 8259) against limits: strict, linear, without recursion, and nothing is built.

It accepts what every parser understands in the same way (RFC 7493): no doubled names unless they are allowed, no half
surrogates, no numbers beyond a double, no BOM, UTF-8 (CASES B54).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gateway.core.errors import Detail
from gateway.schema.places import Path, render

_WS: Final = rb"[ \t\n\r]*+"
_STRING: Final = rb'"((?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+)"'
_NUMBER: Final = rb"(-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)"
_VALUE: Final = rb"(?:" + _STRING + rb"|" + _NUMBER + rb"|(?:true|false|null)|([\[{]))" + _WS
_item: Final = re.compile(_WS + _VALUE).match
_member: Final = re.compile(_WS + _STRING + _WS + rb":" + _WS + _VALUE).match
_end: Final = re.compile(_WS + rb"[\]}]").match
_blank: Final = re.compile(_WS).match
_paired: Final = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?:[0-9A-Ca-cE-Fe-f][0-9A-Fa-f]{3}|[dD][0-7][0-9A-Fa-f]{2}"
    rb"|[dD][89ABab][0-9A-Fa-f]{2}\\u[dD][C-Fc-f][0-9A-Fa-f]{2}))*+"
).fullmatch
_CLOSING: Final = {0x5B: 0x5D, 0x7B: 0x7D}


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """Counts of: levels of nesting, values in all, members of one object, items of one array, characters of one string
    and of one name, digits of one number."""

    depth: int = 64
    values: int = 100_000
    members: int = 1_000
    items: int = 10_000
    string: int = 100_000
    name: int = 256
    digits: int = 64
    duplicates: bool = False  # allowed


class _BrokenError(Exception):
    def __init__(self, message: str, code: str, path: Path) -> None:
        super().__init__(message)
        self.detail = Detail(_safe(path), message, code)


def scan(data: bytes, limits: JsonLimits) -> Detail | None:
    """The first thing that is wrong, with its place; None: the text is sound. Codes: `json`, `duplicate`, `limit`."""
    try:
        _check_text(data)
        _Scan(data, limits).run()
    except _BrokenError as broken:
        return broken.detail
    return None


def _check_text(data: bytes) -> None:
    if data.startswith(b"\xef\xbb\xbf"):
        raise _BrokenError("begins with a BOM, which RFC 8259 forbids to send", "json", ())
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise _BrokenError(f"is not UTF-8 at byte {error.start}", "json", ()) from None


class _Scan:
    """`stack` has for each open container: the byte that opened it, how many parts it has, its names."""

    __slots__ = ("data", "limits", "names", "openers", "parts", "path", "values")

    def __init__(self, data: bytes, limits: JsonLimits) -> None:
        self.data = data
        self.limits = limits
        self.openers: list[int] = []
        self.parts: list[int] = []
        self.names: list[set[bytes] | None] = []
        self.path: list[Any] = []  # the key or index of the value that is read, by level
        self.values = 0

    def run(self) -> None:
        at = self._value(0)
        while self.openers:
            at = self._next(at)
        match = _blank(self.data, at)
        assert match is not None
        if match.end() != len(self.data):
            self._malformed(match.end(), "the end of the text")

    def _next(self, at: int) -> int:
        """Behind a value, or behind the bracket that opened: the next part, or the end."""
        data, opener = self.data, self.openers[-1]
        if self.parts[-1] == 0:
            if match := _end(data, at):
                return self._close(match.end())
            return self._part(at, opener)
        char = data[at] if at < len(data) else 0
        if char == 0x2C:
            return self._part(at + 1, opener)
        if char == _CLOSING[opener]:
            return self._close(at + 1)
        self._malformed(at, "a comma or the closing bracket")

    def _close(self, at: int) -> int:
        if self.data[at - 1] != _CLOSING[self.openers[-1]]:
            self._malformed(at - 1, "the bracket that closes")
        self.openers.pop()
        self.parts.pop()
        self.names.pop()
        self.path.pop()
        match = _blank(self.data, at)
        assert match is not None
        return match.end()

    def _part(self, at: int, opener: int) -> int:
        count = self.parts[-1]
        self.parts[-1] = count + 1
        if opener == 0x5B:
            self.path[-1] = count
            if count >= self.limits.items:
                self._limit(f"an array has more than {self.limits.items} items", above=True)
            return self._value(at)
        if count >= self.limits.members:
            self._limit(f"an object has more than {self.limits.members} members", above=True)
        match = _member(self.data, at)
        if match is None:
            self._malformed(at, "a member: a name in quotes, a colon and a value")
        self._name(match[1])
        self._seen(match[2], match[3])
        return self._opened(match[4], match.end())

    def _value(self, at: int) -> int:
        match = _item(self.data, at)
        if match is None:
            self._malformed(at, "a value")
        self._seen(match[1], match[2])
        return self._opened(match[3], match.end())

    def _opened(self, opener: bytes | None, at: int) -> int:
        if opener:
            if len(self.openers) >= self.limits.depth:
                self._limit(f"is nested deeper than {self.limits.depth} levels")
            self.openers.append(opener[0])
            self.parts.append(0)
            self.names.append(None if opener == b"[" or self.limits.duplicates else set())
            self.path.append(None)
        return at

    def _seen(self, string: bytes | None, number: bytes | None) -> None:
        self.values += 1
        if self.values > self.limits.values:
            self._limit(f"the text has more than {self.limits.values} values", root=True)
        if string is not None:
            self._string(string, self.limits.string, "a string")
        elif number is not None:
            self._number(number)

    def _string(self, raw: bytes, limit: int, what: str) -> None:
        escaped = b"\\" in raw
        if escaped and not _paired(raw):
            self._refuse(f"{what} holds half of a surrogate pair, which is no character", "json")
        if len(raw) > limit and _characters(raw, escaped) > limit:
            self._limit(f"{what} has more than {limit} characters")

    def _name(self, raw: bytes) -> None:
        if len(raw) <= 1000:
            self.path[-1] = raw
        self._string(raw, self.limits.name, "a name")
        names = self.names[-1]
        if names is not None:
            name = json.loads(b'"%b"' % raw).encode("utf-8", "surrogatepass") if b"\\" in raw else raw
            if name in names:
                self._refuse("a name stands twice in one object", "duplicate", above=True)
            names.add(name)

    def _number(self, raw: bytes) -> None:
        digits = len(raw) - raw.count(b"-") - raw.count(b".") - raw.count(b"+") if len(raw) > self.limits.digits else 0
        if digits > self.limits.digits:
            self._limit(f"a number has more than {self.limits.digits} digits")
        if (len(raw) > 18 and math.isinf(float(raw))) or ((b"e" in raw or b"E" in raw) and math.isinf(float(raw))):
            self._refuse("a number is beyond what a double holds", "json")

    # what is wrong

    def _limit(self, message: str, *, above: bool = False, root: bool = False) -> NoReturn:
        self._refuse(message, "limit", above=above, root=root)

    def _refuse(self, message: str, code: str, *, above: bool = False, root: bool = False) -> NoReturn:
        keys = () if root else self.path[:-1] if above else self.path
        path: Path = ()
        for key in keys:
            if key is not None:
                path = (path, key if isinstance(key, int) else _readable(key))
        raise _BrokenError(message, code, path)

    def _malformed(self, at: int, wanted: str) -> NoReturn:
        blank = _blank(self.data, at)
        at = at if blank is None else blank.end()
        line = self.data.count(b"\n", 0, at) + 1
        column = at - self.data.rfind(b"\n", 0, at)
        self._refuse(f"is not JSON at line {line}, column {column}: {wanted} is expected", "json", root=True)


def _characters(raw: bytes, escaped: bool) -> int:
    return len(json.loads(b'"%b"' % raw)) if escaped else len(raw.decode())


def _readable(raw: bytes) -> str:
    return str(json.loads(b'"%b"' % raw))


def _safe(path: Path) -> str:
    return render(path).encode("utf-8", "backslashreplace").decode()
