"""What process 1 does with children that are nobody's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.server.orphans import Orphans


@pytest.fixture
def ended() -> int:
    """A child that has ended and that nobody has waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()
    process.stdout.close()
    process.returncode = 0  # so that nothing here waits for it
    return process.pid


def _until_ended(orphans: Orphans, pid: int) -> None:
    while pid not in orphans._seen:
        assert pid not in orphans.look()


def test_who_is_a_zombie_at_two_looks_is_waited_for(ended: int) -> None:
    orphans = Orphans()
    _until_ended(orphans, ended)
    assert ended in orphans.look()
    assert ended not in orphans.look()


def test_who_is_alive_is_left_alone() -> None:
    orphans = Orphans()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert process.pid not in orphans.look() + orphans.look() + orphans.look()
        assert process.poll() is None
