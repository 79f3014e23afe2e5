"""Every `penstock` command that any page of the docs shows exists, with every option that it shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli.main import app
from tests.docs import pages

ROOT = pages.GUIDE.parents[1]
PAGES = [*pages.GUIDE.glob("*.md"), ROOT / "README.md"]
SHELLS = ("", "sh", "console")
_CALL = re.compile(r"(?:^|[\s(]|(?<!charts)/)penstock(?=\s)")  # charts/penstock is helm's


def _shown(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and words of each call, without what a shell takes for itself."""
    for language, content, line, _ in pages.blocks(page.read_text()):
        if language in SHELLS:
            for each in pages.commands(content, line):
                text = each.text.replace("\\\n", " ")
                if (found := _CALL.search(text)) is not None:
                    yield each.line, _words(text[found.end() :])


def _words(text: str) -> list[str]:
    """Up to the end of the command: a pipe, a redirection, a comment, the end of a substitution."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if set(word) <= set("();<>|&"):
            break
        found.append(word)
    return found


CALLS = [pytest.param(words, id=f"{page.name}:{line}") for page in PAGES for line, words in _shown(page)]


def _parsed(words: list[str]) -> None:
    """An exception of the parser for what there is not. Nothing is run, and no value is looked at."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command)
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        name, *words = words
        command = command.get_command(context, name)
        assert command is not None, f"no such command: {name}"
        context = command.context_class(command, parent=context)
    command.make_parser(context).parse_args(list(words))


@pytest.mark.parametrize("words", CALLS)
def test_a_command_that_is_shown_exists(words: list[str]) -> None:
    _parsed(words)


def test_many_commands_are_shown() -> None:
    assert len(CALLS) > 80


@pytest.mark.parametrize("text", ["publsh api", "keys crate", "keys create --ap partner", "serve --manifest api"])
def test_what_there_is_not_is_found(text: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such"):
        _parsed(_words(text))
