"""A shell of its own for each test, and a gateway for those that ask for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.admin_server import Served, serving
from tests.cli.cli_harness import use


@pytest.fixture(autouse=True)
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own settings; an empty folder to work in."""
    for name in ("PENSTOCK_URL", "PENSTOCK_TOKEN", "PENSTOCK_CONTEXT", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PENSTOCK_LOGINS", str(tmp_path / "logins.json"))
    folder = tmp_path / "shell"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A gateway that the commands of this shell talk to."""
    with serving(tmp_path / "node") as served:
        use(served, monkeypatch)
        yield served
