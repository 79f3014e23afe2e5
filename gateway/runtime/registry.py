"""The processes that a node hosts: those of the packages it was told of, and no others (DESIGN 11)."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.process import MARK, Mark
from gateway.runtime.contracts import Process, place_of, read_process


class Registry:
    """Processes by name."""

    def __init__(self, processes: Mapping[str, Process]) -> None:
        self._processes = dict(processes)

    @classmethod
    def load(cls, packages: Iterable[str]) -> Registry:
        """Imports the packages with all their modules and reads every function marked with `process`.
        DocumentsRefused holds everything that is wrong: modules that cannot be imported, names taken twice,
        annotations that make no contract."""
        findings: list[Finding] = []
        functions: dict[str, Callable[..., Any]] = {}
        for package in packages:
            for module in modules(package, findings):
                _collect(module, functions, findings)
        processes = {name: read for name, each in functions.items() if (read := _read(each, findings)) is not None}
        if findings:
            raise DocumentsRefused(findings)
        return cls(processes)

    @classmethod
    def of(cls, *functions: Callable[..., Any]) -> Registry:
        """A registry of single functions. DocumentsRefused."""
        return cls({(read := read_process(function)).name: read for function in functions})

    def __iter__(self) -> Iterator[Process]:
        return iter(self._processes.values())

    def __len__(self) -> int:
        return len(self._processes)

    def __contains__(self, name: object) -> bool:
        return name in self._processes

    def get(self, name: str) -> Process:
        """LookupError names the processes that there are."""
        if name in self._processes:
            return self._processes[name]
        near = difflib.get_close_matches(name, self._processes, n=1)
        hint = f"did you mean {near[0]}?" if near else f"hosted here: {', '.join(sorted(self._processes)) or 'none'}"
        raise LookupError(f"no runtime hosts a process named {name}; {hint}")

    def described(self) -> dict[str, dict[str, Any]]:
        """{name: {"contract": {effect, input, output, errors, summary, description, digest}, "types": {…}}}, all of it
        plain JSON, for the control process."""
        return {name: self._processes[name].described() for name in sorted(self._processes)}


def modules(package: str, findings: list[Finding]) -> Iterator[ModuleType]:
    """A module, and all that lie below it."""
    module = _import(package, findings)
    if module is None:
        return
    yield module
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{package}.", onerror=lambda _name: None):
        below = None if found.name.endswith("__main__") else _import(found.name, findings)
        if below is not None:
            yield below


def _import(name: str, findings: list[Finding]) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and name.startswith(error.name or " ")
        hint = "Give an importable package; is its folder on PYTHONPATH?" if missing else "Make the module importable."
        message = f"The module {name} cannot be imported: {type(error).__name__}: {error}."
        findings.append(Finding(Place(path=name), "process-import", message, hint))
        return None


def _collect(module: ModuleType, functions: dict[str, Callable[..., Any]], findings: list[Finding]) -> None:
    for value in vars(module).values():
        mark = getattr(value, MARK, None) if callable(value) else None
        if not isinstance(mark, Mark) or inspect.isclass(value):
            continue
        first = functions.setdefault(mark.name, value)
        if first is not value:
            message = f"Two processes are named {mark.name}: here and at {place_of(first)}."
            hint = 'Rename one of them: @process(name="…").'
            findings.append(Finding(place_of(value), "process-name", message, hint))


def _read(function: Callable[..., Any], findings: list[Finding]) -> Process | None:
    try:
        return read_process(function)
    except DocumentsRefused as refused:
        findings.extend(refused.findings)
        return None
