"""The calls that the demo prints: all of them hold, in their order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CALL = re.compile(r"curl .*#\s(\d{3})\b")


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[list[str]]:
    """The lines of a demo that runs meanwhile."""
    command = [sys.executable, "-m", "gateway.cli.main", "demo", "--data", str(tmp_path / "var"), "--port", "0"]
    with (tmp_path / "demo.log").open("wb") as log:
        demo = subprocess.Popen(
            [*command, "--admin-port", "0"], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert demo.stdout is not None
    try:
        lines = []
        for line in demo.stdout:
            lines.append(line.rstrip())
            if "/audit" in line:
                break
        assert lines, (tmp_path / "demo.log").read_text()
        yield lines
    finally:
        demo.terminate()
        demo.stdout.close()
        assert demo.wait(40) == 0


def send(client: httpx2.Client, line: str) -> httpx2.Response:
    """What curl would send for the flags that the demo prints: -s, -i, -X, -H, -d."""
    words = shlex.split(line, comments=True)[1:]
    method, url, headers, body = "", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0)
        elif word not in {"-s", "-i"}:
            assert not url, f"a flag that is not known here: {word}"
            url = word
    return client.request(method or ("GET" if body is None else "POST"), url, headers=headers, content=body)


def test_every_call_that_the_demo_prints_answers_the_printed_status(printed: list[str]) -> None:
    """DESIGN 12; CASES A of the demo: each line starts with curl and ends in its status."""
    calls = [line for line in printed if line.startswith("curl ")]
    assert len(calls) > 25
    with closing(httpx2.Client(timeout=30)) as client:
        for line in calls:
            expected = CALL.fullmatch(re.sub(r"(# \d{3}).*$", r"\1", line))
            assert expected, f"no status behind: {line}"
            answer = send(client, line)
            assert answer.status_code == int(expected[1]), f"{line}\n{answer.text}"
