"""A closed loop by wrk: so many connections, each sending its next request when the last was answered."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.messages import Message
from benchmarks.servers import pinned

SCRIPT = Path(__file__).with_name("report.lua")


@dataclass(frozen=True)
class Load:
    """What a client saw. Latencies in milliseconds; `wrong` counts replies that were no 2xx or 3xx, and connections
    that failed."""

    requests: int
    seconds: float
    p50: float
    p99: float
    most: float
    wrong: int
    late: float = 0.0  # milliseconds by which the client itself was late, 99th percentile; of a paced load

    @property
    def rate(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


def missing() -> str:
    return "" if shutil.which("wrk") else "wrk is not installed (Debian: apt install wrk)"


def parse(output: str) -> Load:
    """What `report.lua` wrote at the end. ValueError with the output when it is not there."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            told = orjson.loads(line)
            wrong = sum(told[name] for name in ("status", "connect", "read", "write", "timeout"))
            p50, p99, most = (told[name] / 1e3 for name in ("p50", "p99", "most"))
            return Load(told["requests"], told["duration"] / 1e6, p50, p99, most, wrong)
    raise ValueError(f"wrk told nothing: {output[-500:]}")


def load(port: int, message: Message, connections: int, seconds: float, *, core: int, tls: bool = False) -> Load:
    """Loads a gateway on this machine; wrk runs on `core`."""
    scheme = "https" if tls else "http"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT)]
    with tempfile.NamedTemporaryFile() as requests:
        requests.write(b"\0".join(message.raws()))
        requests.flush()
        command += [f"{scheme}://127.0.0.1:{port}{message.path}", "--", requests.name]
        done = subprocess.run(pinned(core, command), capture_output=True, text=True, check=False)
    return parse(done.stdout + done.stderr)
