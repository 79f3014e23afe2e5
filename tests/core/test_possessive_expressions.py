"""No regular expression of ours has the shape that CPython matches wrongly (gh-101955: all of 3.11, and until 3.12.8
and 3.13.1): a capturing group in an alternative that a possessive quantifier repeats. It raises SystemError in the
middle of a request, or gives the group of another round."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import gateway


def captures(nodes: Any, possessive: bool = False, alternative: bool = False) -> Iterator[int]:
    """The numbers of the groups that stand so, of a parsed expression."""
    for code, about in nodes:
        if code is codes.SUBPATTERN:
            if about[0] is not None and alternative:
                yield about[0]
            yield from captures(about[3], possessive, alternative)
        elif code is codes.BRANCH:
            for each in about[1]:
                yield from captures(each, possessive, possessive)
        elif code is codes.POSSESSIVE_REPEAT:
            yield from captures(about[2], possessive or about[1] > 1, alternative)
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            yield from captures(about[2], possessive, alternative)
        elif code is codes.ATOMIC_GROUP:
            yield from captures(about, possessive, alternative)
        elif code in (codes.ASSERT, codes.ASSERT_NOT):
            yield from captures(about[1], possessive, alternative)


def expressions() -> dict[Any, str]:
    """Those that modules have compiled, whole or as a method such as `match`: with the module."""
    found: dict[Any, str] = {}
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        for value in vars(importlib.import_module(module.name)).values():
            expression = getattr(value, "__self__", value)
            if isinstance(expression, re.Pattern):
                found[expression.pattern] = module.name
    return found


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("((x)|y|z)*+", [2]),
        ("(?:(x)|y|z){3,}+", [1]),
        ("(?:a(?:(x)|b))*+", [1]),
        ("(?:a(x)?b)*+", []),
        ("(x|y|z)*+", []),
        ("(?:(a)=(x|y);)*+", []),
        ("(?:(x)|y)*", []),
        ("(?:(x)|y)", []),
    ],
)
def test_the_shape_is_known(expression: str, found: list[int]) -> None:
    assert list(captures(parser.parse(expression))) == found


@pytest.mark.blocks_loop(reason="imports every module")
def test_no_expression_of_ours_has_it() -> None:
    every = expressions()
    assert len(every) > 150
    assert {text: name for text, name in every.items() if list(captures(parser.parse(text)))} == {}
