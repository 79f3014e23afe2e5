"""The `process` decorator: it marks an annotated function, and does nothing else to it.

A process stays an ordinary function, importable and testable without the gateway. A runtime registers the marked
functions of the packages that `--processes` names; a manifest refers to them by name and imports no code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

from gateway.core.errors import Problem

Effect = Literal["safe", "idempotent", "writing"]
F = TypeVar("F", bound=Callable[..., Any])

MARK = "__penstock_process__"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the decorator was told: `effect` as RFC 9110 section 9.2 uses the words."""

    name: str
    effect: Effect
    raises: tuple[type[Problem], ...]


@overload
def process(function: F, /) -> F: ...
@overload
def process(
    *, name: str | None = None, effect: Effect = "writing", raises: Sequence[type[Problem]] = ()
) -> Callable[[F], F]: ...
def process(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    effect: Effect = "writing",
    raises: Sequence[type[Problem]] = (),
) -> F | Callable[[F], F]:
    """Marks a function as a process named `name` (default: the function's own name)."""

    def mark(target: F) -> F:
        setattr(target, MARK, Mark(name or target.__name__, effect, tuple(raises)))
        return target

    return mark if function is None else mark(function)
