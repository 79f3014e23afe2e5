"""A flame graph of a worker under load: `make profile`, or `python -m benchmarks.profile --row soap`.

py-spy looks at the started worker from outside, native frames too; that needs the right to trace it (root, or
`kernel.yama.ptrace_scope=0`). For figures without a profiler's cost see `benchmarks.twin`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks import flame, machine, wrk
from benchmarks.peers import nginx, penstock
from benchmarks.peers.peer import LOAD, Site, cache, program
from benchmarks.rows import ROWS, Row

HERE = Path(__file__).resolve().parent
RATE = 500  # samples a second


def _spy() -> str:
    found = program("py-spy", cache() / "python" / "bin")
    if found is None:
        sys.exit("py-spy is not installed (benchmarks/install_peers python)")
    return found


def record(pid: int, seconds: float, to: Path, native: bool) -> None:
    """Collapsed stacks of a process."""
    command = [_spy(), "record", "--pid", str(pid), "--duration", str(round(seconds)), "--rate", str(RATE)]
    command += ["--format", "raw", "--function", "--output", str(to), *(["--native"] if native else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not to.exists():
        sys.exit(f"py-spy could not look at the worker: {done.stderr.strip()[-500:]}")


def profiled(row: Row, seconds: float, native: bool) -> list[str]:
    """Stacks of the worker while the row's load runs."""
    case = next(case for case in row.cases if case.peer == "penstock")
    with tempfile.TemporaryDirectory(prefix="profile-") as name:
        folder = Path(name)
        for part in ("upstream", "penstock"):
            (folder / part).mkdir()
        with (
            nginx.upstream(folder / "upstream") as upstream,
            penstock.node(Site(folder / "penstock", upstream)) as running,
        ):
            arguments = (running.port, case.message, row.connections, seconds + 4)
            loading = threading.Thread(target=wrk.load, args=arguments, kwargs={"core": LOAD})
            loading.start()
            record(running.workers[0], seconds, folder / "stacks", native)
            loading.join()
        return (folder / "stacks").read_text().splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description=(__doc__ or "").partition("\n")[0]
    )
    rows = [name for name, row in ROWS.items() if any(case.peer == "penstock" for case in row.cases)]
    parser.add_argument("--row", choices=rows, default="relay-32")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--no-native", action="store_true", help="Python frames only")
    parser.add_argument("--to", type=Path, default=HERE / "flame.svg")
    chosen = parser.parse_args()
    row = ROWS[chosen.row]
    stacks = profiled(row, chosen.seconds, not chosen.no_native)
    root = flame.fold(stacks, ("Runner.run",) if chosen.no_native else ("uv_run",))
    where = machine.describe()
    title = f"{row.title}: {root.count} samples of a worker; {where['cpu']}, Python {where['python']}"
    chosen.to.write_text(flame.draw(root, title))
    print(f"Written to {chosen.to}.")


if __name__ == "__main__":
    main()
