"""`penstock policies new` and `test`: what is written works, and what does not is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_harness import penstock


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: packages that are imported stay."""
    command = [sys.executable, "-m", "gateway.cli.main", "policies", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_new_policy_is_tried_in_process_and_isolated_and_its_tests_pass(tmp_path: Path) -> None:
    assert run(tmp_path, "new", "tenant-check").returncode == 0
    tried = run(tmp_path, "test", "tenant_check")
    assert tried.returncode == 0, tried.stderr
    line = next(line for line in tried.stdout.splitlines() if line.startswith("tenant-check"))
    assert line.split()[1:5] == ["HEAD", "no", "ok", "ok"]
    assert "2 passed" in tried.stdout


def test_a_policy_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from gateway import policy_kind\n"
        "@policy_kind('broken')\n"
        "class Broken:\n"
        "    def request(self, request):\n"
        "        raise RuntimeError('no')\n"
    )
    tried = run(tmp_path, "test", "broken", "--json")
    assert tried.returncode == 1
    assert '"in_process": "RuntimeError: no"' in tried.stdout
    assert "broken failed" in tried.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert run(tmp_path, "new", "mine").returncode == 0
    again = run(tmp_path, "new", "mine")
    assert again.returncode == 1
    assert "is there already" in again.stderr


@pytest.mark.parametrize("name", ["Big", "a_b", "1"])
def test_a_name_that_no_document_could_use_is_refused(name: str, tmp_path: Path) -> None:
    told = penstock("policies", "new", name, "--in", str(tmp_path))
    assert told.code == 2
    assert "no name of a policy kind" in told.err
