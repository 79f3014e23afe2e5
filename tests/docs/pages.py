"""Reads what a page of the guide tells a reader to do: files to write, commands to type.

The convention, of every page that `docs/guide/README.md` lists under a task:

- a fence of ```sh is typed, in the order of the page, in one shell, in a folder of its own; ```console is only shown;
- a fence behind a line that ends in "`NAME`:" is the file NAME of that folder; behind "`NAME`, added:" it is its end;
- `# 404` at the end of a command with curl is the status that comes, `# exit 2` the exit code; without it that is 0;
- `penstock serve` and `penstock demo` go on beside what follows, until the page is over;
- `<!-- continues first-api.md -->` says that the reader has done what stands there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GUIDE: Final = Path(__file__).resolve().parents[2] / "docs" / "guide"
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"`([\w./-]+)`(, added)?:\s*$")
_CONTINUES: Final = re.compile(r"<!-- continues ([\w-]+\.md) -->")
_HEREDOC: Final = re.compile(r"<<-?\s*['\"]?(\w+)")
_STATUS: Final = re.compile(r"#\s(\d{3})\b[^#]*$")
_EXIT: Final = re.compile(r"#\sexit (\d+)\b")


@dataclass(frozen=True)
class Write:
    """A file of the reader's folder."""

    name: str
    text: str
    appends: bool


@dataclass(frozen=True)
class Type:
    """A command. `status` is what curl must get, `code` how the command must end; `line` is its place in the page."""

    text: str
    line: int
    status: int | None = None
    code: int = 0

    @property
    def serves(self) -> bool:
        return re.search(r"(^|[\s/])penstock (serve|demo)\b(?!.*--help)", self.text) is not None


def predecessor(text: str) -> str | None:
    found = _CONTINUES.search(text)
    return found and found[1]


def blocks(text: str) -> Iterator[tuple[str, str, int, str]]:
    """Language, content, number of the first line of it, and the text before."""
    for found in _FENCE.finditer(text):
        yield found[1], found[2], text[: found.start(2)].count("\n") + 1, text[: found.start()].rstrip()


def steps(text: str) -> Iterator[Write | Type]:
    """What a reader does, in its order."""
    for language, content, line, before in blocks(text):
        if named := _FILE.search(before):
            yield Write(named[1], content, bool(named[2]))
        elif language == "sh":
            yield from commands(content, line)


def commands(content: str, line: int) -> Iterator[Type]:
    """One for each command, however many lines it has."""
    held: list[str] = []
    for number, each in enumerate(content.splitlines()):
        if not held and (not each.strip() or each.lstrip().startswith("#")):
            continue
        held.append(each)
        whole = "\n".join(held)
        if _is_whole(whole):
            yield _typed(whole, line + number + 1 - len(held))
            held = []
    if held:
        raise ValueError(f"a command is not whole: {held}")


def _is_whole(text: str) -> bool:
    if text.endswith("\\"):
        return False
    if here := _HEREDOC.search(text):
        return "\n" in text and text.splitlines()[-1].strip() == here[1]
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def _typed(text: str, line: int) -> Type:
    status, code = _STATUS.search(text), _EXIT.search(text)
    curls = re.search(r"\bcurl\b", text) is not None
    return Type(text, line, int(status[1]) if status and curls else None, int(code[1]) if code else 0)
