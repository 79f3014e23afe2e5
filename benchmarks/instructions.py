"""How many bytecode instructions and C calls a request takes: the same figure on every machine and in every run.

    python -m benchmarks.instructions                    # by row
    python -m benchmarks.instructions --row key-limit    # by function as well

For comparing two commits where times are too noisy. An instruction is no unit of time: read it with `benchmarks.twin`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.twin import CALLS, CONNECTIONS, ROWS, Twin, with_twin

OWN = {str(Path(__file__).with_name(name)) for name in ("twin.py", "memory_transports.py", "instructions.py")}


@dataclass
class Counted:
    """Of so many requests; what the twin itself does is not counted."""

    requests: int
    instructions: Counter[CodeType] = field(default_factory=Counter)
    calls: Counter[CodeType] = field(default_factory=Counter)
    c_calls: Counter[str] = field(default_factory=Counter)

    def trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        """For `sys.settrace`."""
        code = frame.f_code
        if code.co_filename in OWN:
            return None
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self.calls[code] += 1
        elif event == "opcode":
            self.instructions[code] += 1
        return self.trace

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """For `sys.setprofile`."""
        if event == "c_call" and frame.f_code.co_filename not in OWN:
            owner = getattr(argument, "__self__", None)
            name = getattr(argument, "__qualname__", repr(argument))
            module = getattr(argument, "__module__", None) or type(owner).__module__
            self.c_calls[f"{module}.{name}"] += 1


async def count(twin: Twin, row: str, turns: int = 4) -> Counted:
    """Turns before the counted ones fill caches."""
    counted = Counted(turns * len(twin.clients))
    requests = cycle(ROWS[row].raws())
    twin.calls = ROWS[row] in CALLS
    await twin.learn(requests)
    await twin.batch(requests, 4)
    sys.settrace(counted.trace)
    sys.setprofile(counted.profile)
    try:
        await twin.batch(requests, turns)
    finally:
        sys.setprofile(None)
        sys.settrace(None)
    return counted


def summary(counted: Counted) -> tuple[float, float, float]:
    """Bytecode instructions, Python calls and C calls a request."""
    kinds = (counted.instructions, counted.calls, counted.c_calls)
    instructions, calls, c_calls = (sum(kind.values()) / counted.requests for kind in kinds)
    return instructions, calls, c_calls


def by_function(counted: Counted, lines: int = 50) -> Iterator[str]:
    yield f"{'instructions':>12} {'calls':>6}  function"
    for code, number in counted.instructions.most_common(lines):
        path = Path(code.co_filename)
        place = f"{path.parent.name}/{path.name}:{code.co_firstlineno} {code.co_qualname}"
        yield f"{number / counted.requests:12.1f} {counted.calls[code] / counted.requests:6.2f}  {place}"
    yield f"\n{'C calls':>12}  function"
    for name, number in counted.c_calls.most_common(lines):
        yield f"{number / counted.requests:12.2f}  {name}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--row", action="append", choices=ROWS, help="default: all, without functions")
    chosen = parser.parse_args()

    async def measure(twin: Twin) -> None:
        print(f"{'row':12}{'instructions':>14}{'Python calls':>14}{'C calls':>10}")
        found = {row: await count(twin, row) for row in chosen.row or ROWS}
        for row, each in found.items():
            instructions, calls, c_calls = summary(each)
            print(f"{row:12}{instructions:14.1f}{calls:14.1f}{c_calls:10.1f}")
        for row in chosen.row or ():
            print(f"\n{row}", *by_function(found[row]), sep="\n")

    with_twin(measure, CONNECTIONS)


if __name__ == "__main__":
    main()
