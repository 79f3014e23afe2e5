"""The other proxies that are one program with one file of settings: haproxy, envoy, Caddy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import servers
from benchmarks.peers.peer import ACT, Peer, Running, Site, cache, program, told

Command = Callable[[str, Path, int], list[str]]  # program, its settings, its port
ONE_THREAD: Mapping[str, str] = {"GOMAXPROCS": "1"}


def _find(name: str) -> str | None:
    places = sorted(cache().glob("python/lib/*/site-packages/envoy/_bin")) if name == "envoy" else [Path("/usr/sbin")]
    return program(name, *places)


def _missing(name: str, how: str) -> str:
    return "" if _find(name) else f"{name} is not installed ({how})"


@contextmanager
def _run(
    site: Site, name: str, conf: str, command: Command, variables: Mapping[str, str] | None = None
) -> Iterator[Running]:
    port = servers.free_port()
    path = site.write(conf, conf, port=port)
    started = command(_find(name) or name, path, port)
    with servers.running(
        started,
        partial(servers.accepts, port),
        site.folder / f"{name}.out",
        core=ACT,
        variables=variables,
        folder=site.folder,
    ) as process:
        yield Running.of(port, process)


def _proxy(
    name: str,
    conf: str,
    command: Command,
    version: tuple[list[str], str],
    how: str,
    variables: Mapping[str, str] | None = None,
) -> Peer:
    ask, pattern = version
    return Peer(
        name,
        "proxy only",
        partial(_missing, name, how),
        lambda: told([_find(name) or name, *ask], pattern),
        partial(_run, name=name, conf=conf, command=command, variables=variables),
    )


def _haproxy(found: str, conf: Path, _port: int) -> list[str]:
    return [found, "-db", "-f", str(conf)]


def _envoy(found: str, conf: Path, _port: int) -> list[str]:
    return [found, "-c", str(conf), "--concurrency", "1", "-l", "error", "--use-dynamic-base-id"]


def _caddy(found: str, conf: Path, _port: int) -> list[str]:
    return [found, "run", "--config", str(conf)]


SCRIPT = "benchmarks/install_peers"
HAPROXY = _proxy("haproxy", "haproxy.cfg", _haproxy, (["-v"], r"version (\S+)"), "Debian: apt install haproxy")
ENVOY = _proxy("envoy", "envoy.yaml", _envoy, (["--version"], r"/(\d[\w.]+)/"), f"{SCRIPT} python")
CADDY = _proxy("caddy", "caddy.json", _caddy, (["build-info"], r"caddy/v2\s+v(\S+)"), f"{SCRIPT} caddy", ONE_THREAD)
