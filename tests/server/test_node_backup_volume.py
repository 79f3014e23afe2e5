"""A backup of 100,000 keys and 1,000 versions, taken and restored by nodes that run, in bounded memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests import soak
from tests.server.nodes import ROOT, Node, until
from tests.server.own_store import TOKEN
from tests.server.test_node_consumers import KEYS_THERE, SECRET, fill
from tests.server.test_node_volume import Watched
from tests.servers import running_valkey

VERSIONS: Final = 1000
BOUND: Final = 100 * 1024  # kB that the file alone may cost the control process, which holds all of it compiled anyway
PLAIN: Final = """
kind: ApiComponent
name: shop
version: v{0}
base_path: /shop/{{version}}
operations: {{greet: {{effect: safe, output: string, fixed: hello}}}}
policies: [{{id: keys, use: api-key}}]
rest: {{GET /greet: greet}}
"""


def started(folder: Path, url: str) -> Node:
    given = {"PENSTOCK_KEY_SECRET": SECRET, "PENSTOCK_ADMIN_TOKEN": TOKEN}
    return Node(folder, "--store", url, workers=1, **given)


def penstock(node: Node, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PENSTOCK_URL": node.admin_url, "PENSTOCK_TOKEN": TOKEN}
    subprocess.run([sys.executable, "-m", "gateway.cli.main", *arguments], env=environment, cwd=node.folder, check=True)


@pytest.mark.soak
def test_100000_keys_and_1000_versions_are_backed_up_and_restored_in_bounded_memory(
    tmp_path: Path, record: soak.Record
) -> None:
    file = str(tmp_path / "backup")
    with running_valkey() as url, running_valkey() as other, started(tmp_path / "full", url) as full:
        asyncio.run(fill(url))
        full.start()
        for start in range(1, VERSIONS, 250):
            done = full.apply(*(PLAIN.format(number) for number in range(start, start + 250)))
            assert done.status_code == 200, done.text
        watched, began = Watched(full.control_pid()), time.monotonic()
        penstock(full, "backup", file)
        seconds, grown = time.monotonic() - began, watched.grown()
        size = Path(file).stat().st_size / 1e6
        record("backup: seconds, size, memory of the control process", f"{seconds:.1f} s, {size:.0f} MB, +{grown} kB")
        assert grown < BOUND
        assert full.stop() == 0
        with started(tmp_path / "fresh", other) as fresh:
            fresh.start()
            began = time.monotonic()
            penstock(fresh, "restore", file, "--dry-run")
            dry = time.monotonic() - began
            began = time.monotonic()
            penstock(fresh, "restore", file)
            restored = time.monotonic() - began
            until(lambda: fresh.get(f"/shop/v{VERSIONS}/greet", f"pk_{KEYS_THERE - 1}").status_code == 200, "it serves")
            record(
                "restore: dry, until it was answered, until it served",
                f"{dry:.1f} s, {restored:.1f} s, {time.monotonic() - began:.1f} s",
            )
            watched, began = Watched(fresh.control_pid()), time.monotonic()
            penstock(fresh, "restore", file, "--replace", "--dry-run")
            grown = watched.grown()
            record(
                "plan of a restore over as much: seconds, memory of the control process",
                f"{time.monotonic() - began:.1f} s, +{grown} kB",
            )
            assert grown < BOUND
