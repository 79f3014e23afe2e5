"""The help of `penstock` and of its groups: commands by task, every summary whole, wrapped where the terminal ends."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from typer.core import TyperGroup

TASKS: Final[dict[str, tuple[str, ...]]] = {
    "Publish": (
        "plan", "publish", "rollback", "deprecate", "retire", "reinstate", "canary", "mirror",
    ),
    "Look": ("list", "show", "diff", "changelog", "activations", "explain", "callers", "audit"),
    "Consumers": ("apps", "keys", "credentials"),
    "Policies": ("policies", "plans"),
    "Traffic": ("top", "usage", "cache", "topics"),
    "Operate": (
        "health", "doctor", "nodes", "environments", "runtimes", "processes", "tokens", "signing-keys", "backup",
        "restore",
    ),
    "Local": ("login", "logout", "whoami", "serve", "runtime", "demo", "check", "import"),
}  # fmt: skip
OTHER: Final = "Other"  # a command that no task names is told all the same


class Tasks(TyperGroup):
    """A group whose help cuts no summary. The root's commands stand under the task that they serve."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        whole = {name: command for name, command in self.commands.items() if not command.hidden}
        column = max(map(len, whole), default=0)
        for title, names in self._sections(ctx, list(whole)):
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{column}}", summary(whole[name].help)) for name in names])

    def _sections(self, ctx: Any, names: list[str]) -> Iterator[tuple[str, list[str]]]:
        if ctx.parent is not None:
            yield "Commands", names
            return
        for title, chosen in TASKS.items():
            yield title, [name for name in chosen if name in names]
        others = [name for name in names if not any(name in chosen for chosen in TASKS.values())]
        if others:
            yield OTHER, others


def summary(text: str | None) -> str:
    """The first paragraph of a help on one line, without its example."""
    first = inspect.cleandoc(text or "").partition("\n\n")[0]
    return " ".join(first.partition("Example:")[0].split())
