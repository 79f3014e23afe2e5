"""Other releases of the gateway, beside this one: this code with another form of the store, or an earlier commit."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

from tests.server.nodes import HERE, ROOT

_CURRENT: Final = "CURRENT: Final = Schema(1)\n"
_NEWER: Final = """
async def _step(work: "Migrating") -> None:
    await work.client.execute("INCR", work.key("stepped"))


CURRENT: Final = Schema({form}, tuple(Step(to, f"what form {{to}} brings", _step) for to in range({first}, {form} + 1)))
"""


def newer(folder: Path, form: int, first: int = 2) -> dict[str, str]:
    """The environment of a release that knows `form` and the steps to it from `first` on."""
    shutil.copytree(ROOT / "gateway", folder / "gateway")
    path = folder / "gateway" / "store" / "schema.py"
    text = path.read_text()
    assert text.endswith(_CURRENT), "the test's releases begin with another form now"
    path.write_text(text.removesuffix(_CURRENT) + _NEWER.format(form=form, first=first))
    return {"PYTHONPATH": f"{folder}:{HERE}"}


def earlier(folder: Path, commit: str) -> dict[str, str]:
    """The environment of the release as it was at a commit; skips where a clone does not reach back to it."""
    made = subprocess.run(["git", "archive", commit, "gateway"], cwd=ROOT, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"this clone does not reach back to {commit}")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return {"PYTHONPATH": f"{folder}:{HERE}"}
