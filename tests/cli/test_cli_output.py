"""How it reads: help with examples, tables of 100 columns, colour on terminals alone; and how fast it starts."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from gateway import __version__
from gateway.cli import output
from gateway.cli.main import app
from gateway.core.settings import Settings
from tests.cli.cli_harness import help_of, penstock

ROOT = Path(__file__).resolve().parent.parent.parent
HASH = "8a3b9bf8b5c51407"
HEAVY = {"spyne", "lxml", "sqlalchemy", "starlette", "uvicorn", "redis", "httpx2", "gateway.server"}


def commands() -> Iterator[tuple[str, ...]]:
    def below(group: Any, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from below(command, (*names, name))
            else:
                yield (*names, name)

    yield from below(typer.main.get_command(app), ())


@pytest.mark.parametrize("names", list(commands()), ids=" ".join)
def test_every_command_has_an_example_of_itself(names: tuple[str, ...]) -> None:
    assert f"Example: penstock {' '.join(names)}" in help_of(*names)


@pytest.mark.parametrize("names", list(commands()), ids=" ".join)
def test_every_command_that_asks_a_gateway_speaks_json_and_takes_url_and_token(names: tuple[str, ...]) -> None:
    text = help_of(*names)
    if names[0] in {"serve", "runtime", "demo"} or names == ("policies", "new"):
        return
    assert "--json" in text
    if names[0] not in {"check", "import"} and names != ("policies", "test"):
        assert "--url" in text
        assert "--token" in text or names in {("login",), ("logout",)}, "who signs in has no token yet"


def test_the_version_is_told() -> None:
    assert penstock("--version").out == f"penstock {__version__}\n"


def test_the_help_of_serve_lists_every_setting_with_its_variable() -> None:
    text = penstock("serve", "--help").out
    for name in Settings.model_fields:
        assert f"PENSTOCK_{name.upper()}" in text.split(), name


def _table(width: int, rows: list[dict[str, Any]], columns: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    written = io.StringIO()
    monkeypatch.setattr(output, "out", Console(file=written, width=width, highlight=False, soft_wrap=True))
    output.table(rows, columns, "None.")
    return written.getvalue().splitlines()


def test_a_hash_is_never_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"name": "a-component-with-quite-a-name@2026-11-24", "status": "deprecated", "revision": HASH}
    row |= {"base_path": "/a/rather/long/base/path/{version}", "endpoints": "12", "since": 1.0}
    columns = ["name", "status", "revision", "base_path", "endpoints", "since"]
    lines = _table(100, [row], columns, monkeypatch)
    assert any(HASH in line for line in lines)
    assert any("1970-01-01 00:00:01Z" in line for line in lines)
    assert max(len(line.rstrip()) for line in lines) <= 100


def test_another_program_gets_each_row_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"name": "x" * 80, "title": "y" * 80, "revision": HASH}
    lines = _table(output.WIDE, [row], ["name", "title", "revision"], monkeypatch)
    assert len(lines) == 2


def test_text_of_others_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in a title cannot paint the terminal."""
    lines = _table(100, [{"name": "[red]x[/red]", "title": "[link=http://evil]"}], ["name", "title"], monkeypatch)
    assert "[red]x[/red]" in lines[1]
    assert "[link=http://evil]" in lines[1]


def test_control_characters_of_others_do_not_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _table(100, [{"name": "a\x1b]0;owned\x07b\x1b[31m"}], ["name"], monkeypatch)
    assert "\x1b" not in "".join(lines)
    assert "\x07" not in "".join(lines)


def _on_a_terminal(*arguments: str) -> str:
    """What a terminal of 100 columns shows."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (40, 100))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    command = [sys.executable, "-m", "gateway.cli.main", *arguments]
    process = subprocess.Popen(command, stdout=follower, stderr=follower, stdin=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    process.wait()
    os.close(leader)
    return shown.decode()


def test_errors_are_red_on_a_terminal_and_plain_elsewhere() -> None:
    arguments = ["list", "--url", "http://127.0.0.1:9", "--token", "pt_x"]
    assert "\x1b[31mNo gateway answers" in _on_a_terminal(*arguments)
    assert "\x1b" not in penstock(*arguments).err


def test_help_fits_a_terminal_of_100_columns() -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", _on_a_terminal("serve", "--help"))
    assert max(len(line) for line in shown.splitlines()) <= 100


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--help"], ["--version"]])
def test_what_only_prints_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom gateway.cli.main import main\nsys.argv = ['penstock', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment)
    assert HEAVY & set(ran.stderr.split()) == set()


def test_a_list_imports_no_more_than_a_client() -> None:
    script = (
        "import sys\nfrom gateway.cli.main import main\nsys.argv = ['penstock', 'list', '--url',"
        " 'http://127.0.0.1:9', '--token', 'x']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert (HEAVY - {"httpx2"}) & set(ran.stderr.split()) == set()
