"""The machine: what it is, and what processes take of it (Linux, /proc)."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, str | int]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": os.cpu_count() or 1,
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "virtual": "yes" if any(line.startswith("flags") and "hypervisor" in line for line in lines) else "no",
    }


def cpu(pid: int) -> float:
    """Seconds of user and system time, of all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def cpu_of(pids: list[int]) -> float:
    return sum(cpu(pid) for pid in pids)


def resident(pids: list[int]) -> float:
    """Megabytes (10^6) of resident memory."""
    found = (re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) for pid in pids)
    return sum(int(match[1]) * 1024 for match in found if match) / 1e6


def peak(pid: int) -> float:
    """Megabytes of the most that was resident, ever or since `forget_peak`."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) * 1024 / 1e6 if match else 0.0


def forget_peak(pid: int) -> None:
    """From now on `peak` tells the most since now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def tree(pid: int) -> list[int]:
    """A process with all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def busy(core: int) -> tuple[float, float]:
    """(seconds that a core worked, seconds that it was there) since the machine started; 0 of the first where the
    core does not exist."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            ticks = [int(each) for each in line.split()[1:9]]
            return (sum(ticks) - ticks[3] - ticks[4]) / TICK, sum(ticks) / TICK
    return 0.0, 1.0


def line() -> str:
    """What figures are told with."""
    found = describe()
    return f"{found['cpu']}, {found['cores']} cores, Python {found['python']}"
