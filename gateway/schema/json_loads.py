"""Strict JSON (RFC 8259, I-JSON of RFC 7493): what two parsers could understand differently is refused (CASES B54)."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from itertools import accumulate
from typing import Any, Final, NoReturn

from gateway.core.errors import Detail, InvalidInput
from gateway.schema.places import ROOT, Path, render

MAX_DEPTH: Final = 128
MAX_INTEGER_DIGITS: Final = 4300
MAX_PLACES: Final = 1000  # in front of a number's first digit that is not nought; doubles end at 324

_BRACKETS: Final = b"[]{}"
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS)
_STEPS: Final = {byte: 1 if byte in b"[{" else -1 for byte in _BRACKETS}
_NUMBERS: Final = bytes.maketrans(b"123456789.E", b"0000000000e")
_SHORT: Final = 16  # characters, of which at most 15 are digits: every double gives them back
_NORMAL: Final = 1e-300  # from here on downwards doubles have fewer digits
_LOOKED_THROUGH: Final = 65_536  # characters in which the place of a doubled key is looked for
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def loads(data: bytes) -> Any:
    """The value of a JSON text in UTF-8. A number that a double does not hold exactly as written is a Decimal.
    InvalidInput names what is wrong and where."""
    _check_depth(data)
    if data.startswith(b"\xef\xbb\xbf"):
        _refuse("The JSON text begins with a BOM, which RFC 8259 forbids to send.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        _refuse(f"The JSON text is not valid UTF-8 at byte {error.start}.")
    scan = _EXACT if _may_be_long(data) else _PLAIN
    try:
        value = scan.decode(text)
    except json.JSONDecodeError as error:
        _refuse(f"The body is not valid JSON: {_lower(error.msg)} at line {error.lineno}, column {error.colno}.")
    except (ValueError, RecursionError) as error:
        _refuse(f"The body is not valid JSON: {error}.")
    except _DoubledKey as doubled:
        _refuse(f"The JSON object names {doubled.key[:100]!r} twice.", _place_of_doubled(text))
    if _SURROGATE.search(data):
        _check_surrogates(value, ROOT)
    return value


def _may_be_long(data: bytes) -> bool:
    """A double might not hold one of its numbers. Texts that look like one only cost time."""
    shapes = data.translate(_NUMBERS)
    return b"00000000000000000" in shapes or b"0e" in shapes


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:].removesuffix(" starting at")


def _refuse(message: str, target: str = "$") -> NoReturn:
    raise InvalidInput(message, target=target, details=[Detail(target, message, "json")])


class _DoubledKey(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        raise _DoubledKey(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return made


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer has more than {MAX_INTEGER_DIGITS} digits")
    return int(text)


def _number(text: str) -> float | Decimal:
    if len(text) > MAX_INTEGER_DIGITS:
        raise ValueError(f"a number has more than {MAX_INTEGER_DIGITS} characters")
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is beyond what a double can hold")
    if len(text) <= _SHORT and (abs(value) > _NORMAL or text.lstrip("-0.")[:1] in ("", "e", "E")):
        return value
    try:
        exact = Decimal(text)
    except ArithmeticError:
        raise ValueError(f"the number {text[:40]} cannot be held") from None
    if Decimal(repr(value)) == exact:
        return value
    if exact.adjusted() < -MAX_PLACES:  # 1e-999999 is short as it is written, and a million digits written out
        raise ValueError(f"the number {text[:40]} is smaller than what can be held")
    return exact


_PLAIN: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_EXACT: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number, parse_int=_integer
)


def _check_depth(data: bytes) -> None:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    outside = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    brackets = b"".join(outside).translate(None, _OTHERS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        _refuse(f"The JSON text is nested deeper than {MAX_DEPTH} levels.")


class _Doubled(dict[str, Any]):
    """An object that named a key twice."""


def _place_of_doubled(text: str) -> str:
    if len(text) > _LOOKED_THROUGH:
        return "$"

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        return made if len(made) == len(pairs) else _Doubled(pairs)

    found = _find_doubled(json.JSONDecoder(object_pairs_hook=keep).decode(text), ROOT)
    return "$" if found is None else render(found)


def _find_doubled(value: Any, path: Path) -> Path | None:
    if isinstance(value, _Doubled):
        return path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, part in parts if (found := _find_doubled(part, (path, key))) is not None), None)


def _check_surrogates(value: Any, path: Path) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            _refuse("A string holds half of a surrogate pair, which is no character.", _safe(path))
    elif isinstance(value, dict):
        for key, part in value.items():
            _check_surrogates(key, path)
            _check_surrogates(part, (path, key))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            _check_surrogates(part, (path, at))


def _safe(path: Path) -> str:
    return render(path).encode("utf-8", "backslashreplace").decode()
