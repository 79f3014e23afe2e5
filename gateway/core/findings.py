"""What is wrong with documents: every finding at once, each with its place and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a document: `line` and `column` count from 1; 0 means unknown. `path` is the key path within it."""

    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{where} ({self.path})" if self.path and where else where or self.path


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong. `code` is stable, `message` says what, `hint` says what to do about it."""

    place: Place
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if str(self.place) else self.message
        return f"{text} {self.hint}" if self.hint else text


class DocumentsRefused(Exception):
    """Documents that cannot be used. Holds every finding, in document order."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(set(findings)))
        super().__init__("\n".join(str(finding) for finding in self.findings))
