"""What the kernel says of a process (`/proc`, see proc(5)): processor time, memory, open files, its start."""

from __future__ import annotations

import os
import resource
from functools import cache
from pathlib import Path
from typing import Any, Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def process_samples(name: str, pid: int | None = None) -> dict[str, list[list[Any]]]:
    """Of this process, or another of this user; empty where there is no /proc, or it has ended. `name` is its part in
    the node: `worker 0`."""
    folder = Path(f"/proc/{pid or os.getpid()}")
    try:
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        files = len(os.listdir(folder / "fd"))
    except (OSError, IndexError):
        return {}
    found: dict[str, float] = {
        "penstock_process_cpu_seconds_total": (int(stat[11]) + int(stat[12])) / _TICKS,
        "penstock_process_resident_memory_bytes": int(stat[21]) * _PAGE,
        "penstock_process_open_fds": files,
        "penstock_process_start_time_seconds": _booted() + int(stat[19]) / _TICKS,
    }
    if pid is None:
        found["penstock_process_max_fds"] = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return {family: [[name, value]] for family, value in found.items()}


@cache
def _booted() -> float:
    """Seconds since 1970."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0
