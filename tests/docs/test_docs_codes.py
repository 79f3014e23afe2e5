"""The guide explains every code that the product answers with, under its true status."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator

import gateway
from gateway.core.errors import Problem
from tests.docs.pages import GUIDE

PAGE = (GUIDE / "troubleshooting.md").read_text()
_ROW = re.compile(r"^\| `(\w+)` \| ([\d, ]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def _every(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _every(each)


def _codes() -> dict[str, set[int]]:
    """Of every module of the product; the demo's are a shop's."""
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not module.name.endswith("__main__") and not module.name.startswith("gateway.demo"):
            importlib.import_module(module.name)
    found: dict[str, set[int]] = defaultdict(set)
    for kind in _every():
        if kind.__module__.startswith("gateway.") and not kind.__module__.startswith("gateway.demo"):
            found[kind.code].add(kind.status)
    return dict(found)


def _told() -> dict[str, set[int]]:
    return {code: set(map(int, statuses.split(", "))) for code, statuses, *_ in _ROW.findall(PAGE)}


def test_every_code_is_explained_with_its_statuses() -> None:
    assert _told() == _codes()


def test_no_code_is_explained_twice() -> None:
    codes = [row[0] for row in _ROW.findall(PAGE)]
    assert len(codes) == len(set(codes))


def test_codes_are_words_with_underscores() -> None:
    assert [code for code in _codes() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", code)] == []
