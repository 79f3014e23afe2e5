"""Which tests outside of this folder show which promised line (A, M): by the name that begins with it, else by their
docstring (`CASES A57`), else by that of their file if none of its
tests is named after a line, and all lines that it tells are such."""

from __future__ import annotations

import ast
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

TESTS: Final = Path(__file__).resolve().parent.parent
_CODE: Final = re.compile(r"\b[A-Z]\d\d\b")
_OURS: Final = re.compile(r"\b[AM]\d\d\b")
_Function: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED: Final = re.compile(r"test_([am]\d\d)_")


class Case(NamedTuple):
    file: str  # relative to the tests' folder
    name: str
    soak: bool


@cache
def found() -> dict[str, list[Case]]:
    """Line (`A57`), then its tests."""
    cases: dict[str, list[Case]] = defaultdict(list)
    for path in sorted(_sources()):
        tree = ast.parse(path.read_text())
        whole = _CODE.findall(ast.get_docstring(tree) or "")
        if any(_NAMED.match(each.name) for each in ast.walk(tree) if isinstance(each, _Function)):
            whole = []
        file_soak = any(_soak(each) for each in tree.body if isinstance(each, ast.Assign))
        for each in tree.body:
            if isinstance(each, _Function) and each.name.startswith("test_"):
                soak = file_soak or any("mark.soak" in ast.unparse(mark) for mark in each.decorator_list)
                for line in _lines(each, whole):
                    cases[line].append(Case(str(path.relative_to(TESTS)), each.name, soak))
    return cases


def _sources() -> Iterator[Path]:
    """Without looking into what npm installed, which takes seconds."""
    for folder, folders, files in os.walk(TESTS):
        folders[:] = [each for each in folders if each not in {"node_modules", "__pycache__"}]
        yield from (Path(folder, each) for each in files if each.startswith("test_") and each.endswith(".py"))


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef, whole: list[str]) -> set[str]:
    if named := _NAMED.match(function.name):
        return {named[1].upper()}
    if own := _CODE.findall(ast.get_docstring(function) or ""):
        return {each for each in own if _OURS.fullmatch(each)}
    return set(whole) if all(_OURS.fullmatch(each) for each in whole) else set()


def _soak(assigned: ast.Assign) -> bool:
    text = ast.unparse(assigned)
    return text.startswith("pytestmark") and "mark.soak" in text
