"""What is wrong with the settings of `penstock serve`, in plain words: the setting, where it was given, the way out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import ValidationError

ALIKE: Final = 0.85  # of a variable's name to a setting's, from which it is taken for one that is misspelt
_NEEDS: Final = {
    "bool": "must be true or false",
    "int": "must be a whole number",
    "float": "must be a number",
    "string": "must be text",
    "tuple": "must be a list",
    "model": "must be a map (name: value)",
    "path": "must be a path",
}
_BOUNDS: Final = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
}


def lines(error: ValidationError, source: Callable[[str], str], known: Collection[str]) -> list[str]:
    """One line for each place. `source` tells where a setting was given; `known` are the settings' names."""
    found: dict[str, list[str]] = {}
    for each in error.errors(include_url=False):
        keys = _keys(each["loc"])
        where = f"{_place(keys)} ({source(str(keys[0]))})" if keys else "settings"
        found.setdefault(where, []).append(_words(each, keys, known))
    return [f"{where}: {', or '.join(dict.fromkeys(words))}" for where, words in found.items()]


def misspelt(environ: Iterable[str], prefix: str, known: Collection[str]) -> list[str]:
    """Variables that are nearly a setting's: they would be ignored. Others with the prefix are somebody else's, such as
    those that a cluster sets for a service of this name."""
    names = {prefix + name.upper() for name in known}
    found = []
    for name in sorted(each for each in environ if each.startswith(prefix) and each not in names):
        if near := difflib.get_close_matches(name[len(prefix) :], [each[len(prefix) :] for each in names], 1, ALIKE):
            found.append(f"{name}: there is no such setting. Did you mean {prefix}{near[0]}?")
    return found


def _keys(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Without the branches of unions, which only the model knows: `bool`, `tuple[…]`."""
    return tuple(key for key in loc if isinstance(key, int) or not (key in ("bool", "none") or "[" in key))


def _place(keys: tuple[int | str, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


def _words(each: Mapping[str, Any], keys: tuple[int | str, ...], known: Collection[str]) -> str:
    kind = each["type"]
    if kind == "value_error":
        return str(each["ctx"]["error"])
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(keys[-1]), known, 1) if len(keys) == 1 else []
        return (
            f"there is no such setting. {f'Did you mean {near[0]}?' if near else 'penstock serve --help lists them.'}"
        )
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**each.get("ctx", {}))
    if kind == "too_short":
        return "must not be empty"
    if kind == "string_pattern_mismatch":
        return f"{each['input']!r} does not look like that; see docs/guide/operating.md"
    return _NEEDS.get(kind.partition("_")[0], str(each["msg"]))
