"""What `penstock` says when it cannot, on standard error: text for people, problem details (RFC 9457) with `--json`."""

from __future__ import annotations

import sys
from typing import Any

import orjson

from gateway.cli import output
from gateway.cli.failures import USAGE


def fail(text: str, code: int, problem: dict[str, Any]) -> None:
    """Ends the process. Standard output stays what it was: nothing, or a whole answer."""
    if wants_json(sys.argv[1:]):
        sys.stderr.write(orjson.dumps(problem, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        output.bad(text)
    sys.exit(code)


def wants_json(arguments: list[str]) -> bool:
    """Whether `--json` is among the options, also when the rest of the line cannot be understood."""
    return "--json" in arguments[: arguments.index("--") if "--" in arguments else None]


def usage(error: Any) -> None:
    """A line that cannot be understood: an unknown command or option, a missing argument, a wrong value."""
    if not wants_json(sys.argv[1:]):
        error.show()
        sys.exit(error.exit_code)
    problem = {"title": "Wrong usage", "detail": error.format_message(), "code": "usage"}
    context = getattr(error, "ctx", None)
    if context is not None:
        problem["help"] = f"{context.command_path} --help"
    fail("", error.exit_code or USAGE, problem)
