"""Starts one gateway worker, loads it row by row, and prints CPU per request (user and system time of the worker).

The worker is pinned to one core; load, upstream and store to the other. Ratios within one run count: the machine
drifts. Nothing here is asserted.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson

from gateway.demo.database import make

HERE = Path(__file__).resolve().parent
SECONDS, CONNECTIONS, REPEATS = 3.0, 32, 3
TICK = os.sysconf("SC_CLK_TCK")
TOKEN = "bench-token-0123456789"
ENVELOPE = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    '<find_price xmlns="urn:bench:v1"><id>7</id></find_price></e:Body></e:Envelope>'
)


def pinned(core: int, *arguments: str) -> list[str]:
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *arguments]


@contextmanager
def upstream() -> Iterator[int]:
    process = subprocess.Popen(pinned(1, sys.executable, "-m", "benchmarks.upstream"), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


@contextmanager
def gateway(folder: Path, port: int) -> Iterator[tuple[dict[str, Any], int]]:
    """(what the gateway said of itself, its worker's process id)."""
    make(folder / "shop.db")
    values = {"up": f"http://127.0.0.1:{port}", "db": f"sqlite+aiosqlite:///{folder / 'shop.db'}"}
    environment = folder / "environment.json"
    environment.write_bytes(orjson.dumps({"kind": "Environment", "values": values}))
    command = ["-m", "gateway.cli.main", "serve", "--manifests", str(HERE / "manifests"), "--processes"]
    command += ["benchmarks.processes", "--environment", str(environment), "--data", str(folder / "var")]
    command += ["--port", "0", "--admin-port", "0"]
    variables = {**os.environ, "PENSTOCK_ADMIN_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
    arguments = pinned(1, sys.executable, *command)
    process = subprocess.Popen(arguments, env=variables, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("admin"):
                break
        context = orjson.loads((folder / "var" / "context.json").read_bytes())
        worker = _worker(process.pid)
        os.sched_setaffinity(worker, {0})
        yield context, worker
    finally:
        process.terminate()
        process.wait()


def _worker(supervisor: int) -> int:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return next(int(pid) for pid in children if b"gateway.server.worker" in Path(f"/proc/{pid}/cmdline").read_bytes())


def cpu(pid: int) -> float:
    """Seconds of user and system time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def requests(key: str) -> dict[str, bytes]:
    def head(method: str, path: str, *more: str) -> bytes:
        return "\r\n".join([f"{method} /bench/v1{path} HTTP/1.1", "Host: bench", *more, "", ""]).encode()

    keyed = f"X-API-KEY: {key}"
    soap = head("POST", "/soap", keyed, "Content-Type: text/xml", f"Content-Length: {len(ENVELOPE)}")
    query = "/odata/Orders?$filter=total%20gt%20900&$orderby=total%20desc&$top=20"
    return {
        "relay, no policy": head("GET", "/open/x"),
        "relay, key and exact limit": head("GET", "/relay/x", keyed),
        "REST call of a process, key": head("GET", "/prices/7", keyed),
        "SOAP call of a process, key": soap + ENVELOPE.encode(),
        "OData filter, order, top 20 over SQLite": head("GET", query, keyed),
    }


def measure(worker: int, port: int, request: bytes) -> dict[str, Any]:
    before = cpu(worker)
    command = pinned(1, sys.executable, "-m", "benchmarks.load", str(port), str(CONNECTIONS), str(SECONDS))
    told = orjson.loads(subprocess.run(command, input=request, stdout=subprocess.PIPE, check=True).stdout)
    return {**told, "cpu": (cpu(worker) - before) / told["requests"]}


def key_of(context: dict[str, Any]) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(base_url=f"{context['url']}/admin/v1", headers=headers) as client:
        client.post("/applications", json={"name": "load"}).raise_for_status()
        return str(client.post("/keys", json={"application": "load", "api": "bench"}).raise_for_status().json()["key"])


def rows(folder: Path) -> Iterator[str]:
    with upstream() as up, gateway(folder, up) as (context, worker):
        port = int(context["gateway"].rpartition(":")[2])
        for name, request in requests(key_of(context)).items():
            runs = [measure(worker, port, request) for _ in range(REPEATS)]
            run = sorted(runs, key=lambda each: each["cpu"])[REPEATS // 2]
            wrong = f" **{run['wrong']} not 2xx: {run['statuses']}**" if run["wrong"] else ""
            rate = run["requests"] / run["seconds"]
            yield (
                f"| {name}{wrong} | {run['cpu'] * 1e6:.0f} | {rate:.0f} | "
                f"{run['p50'] * 1e3:.1f} | {run['p99'] * 1e3:.1f} |"
            )


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> None:
    lines = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}; one worker, {CONNECTIONS} connections, medians of {REPEATS} "
        f"runs of {SECONDS:g} s; access log and metrics on.",
        "",
        "| row | CPU µs/request | requests/s | p50 ms | p99 ms |",
        "|---|---|---|---|---|",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for line in rows(Path(folder)):
            lines.append(line)
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    (HERE / "results.md").write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"\nWritten to {HERE / 'results.md'}.\n")


if __name__ == "__main__":
    main()
