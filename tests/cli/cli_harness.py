"""The command line in this process: arguments in, exit code and both outputs out."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
import pytest

from gateway.cli.main import main
from tests.admin.admin_server import Served


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


def penstock(*arguments: object) -> Ran:
    """As the console script runs, exit code and all."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["penstock", *map(str, arguments)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    finally:
        sys.argv = before
    return Ran(code, out.getvalue(), err.getvalue())


@cache
def help_of(*names: str) -> str:
    """What `penstock NAMES --help` prints, on one line: several tests read each."""
    ran = penstock(*names, "--help")
    assert ran.code == 0, ran.err
    return " ".join(ran.out.split())


def use(served: Served, monkeypatch: pytest.MonkeyPatch, role: str = "admin") -> None:
    """Names the gateway in the environment, as a shell would."""
    monkeypatch.setenv("PENSTOCK_URL", served.url)
    monkeypatch.setenv("PENSTOCK_TOKEN", served.node.tokens[role])
