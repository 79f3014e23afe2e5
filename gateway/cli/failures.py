"""How a command fails: a text for people, the problem for programs, an exit code."""

from __future__ import annotations

from typing import Any, Final

REFUSED: Final = 1  # exit codes: the gateway said no
USAGE: Final = 2
UNREACHABLE: Final = 3


class Failed(Exception):
    """Ends the command with a text for people, the problem for programs, and an exit code."""

    def __init__(self, text: str, code: int = REFUSED, problem: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.problem = problem or {"title": text}
