"""The usual way in Python: FastAPI and httpx under uvicorn, in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import servers
from benchmarks.peers.peer import ACT, CONF, LOAD, Peer, Running, Site, cache, told


def _python() -> Path:
    return cache() / "python" / "bin" / "python"


def _missing() -> str:
    found = any(cache().glob("python/lib/*/site-packages/fastapi"))
    return "" if found else "FastAPI and httpx are not installed (benchmarks/install_peers python)"


def _version() -> str:
    script = (
        "import fastapi, httpx, uvicorn; print(f'{fastapi.__version__}, httpx {httpx.__version__}, "
        "uvicorn {uvicorn.__version__}')"
    )
    return told([str(_python()), "-c", script], r"(.+)")


@contextmanager
def _run(site: Site) -> Iterator[Running]:
    port = servers.free_port()
    (site.folder / "fastapi_gateway.py").write_text((CONF / "fastapi_gateway.py").read_text())
    command = [str(_python()), "-m", "uvicorn", "fastapi_gateway:app", "--port", str(port), "--no-access-log"]
    command += ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning"]
    with servers.store(site.folder, core=LOAD) as store:
        variables = {"KEYS": str(site.keys()), "STORE": str(store), "SCRIPT": str(CONF / "gcra.lua")}
        variables["UPSTREAM"] = f"http://127.0.0.1:{site.upstream}"
        with servers.running(
            command,
            partial(servers.accepts, port),
            site.folder / "fastapi.out",
            core=ACT,
            variables=variables,
            folder=site.folder,
        ) as process:
            yield Running.of(port, process)


FASTAPI = Peer("fastapi-httpx", "key, exact limit", _missing, _version, _run)
