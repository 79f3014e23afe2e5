"""nginx: the upstream of all, the bare proxy, and the proxy with Lua that checks a key and an exact limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import certificate, messages, servers
from benchmarks.peers.peer import ACT, CONF, LOAD, Peer, Running, Site, program, told

MODULES = Path("/usr/lib/nginx/modules")
LOG = """access_log {{folder}}/{{name}}.log line buffer=64k flush=1s;
      log_by_lua_block { ngx.shared.counters:incr("requests " .. ngx.status, 1, 0) }"""


def _nginx() -> str | None:
    return program("nginx", Path("/usr/sbin"))


def missing() -> str:
    return "" if _nginx() else "nginx is not installed (Debian: apt install nginx-light)"


def _lua_missing() -> str:
    have = (MODULES / "ngx_http_lua_module.so").exists() and Path("/usr/share/lua/5.1/nginx/redis.lua").exists()
    return missing() or ("" if have else "Debian: apt install libnginx-mod-http-lua lua-nginx-redis")


def _version() -> str:
    return told([_nginx() or "nginx", "-v"], r"nginx/(\S+)")


def _lua_version() -> str:
    modules = {True: "ngx_http_lua", False: "no Lua"}
    return f"{_version()}, {modules[not _lua_missing()]} of the distribution"


def _command(conf: Path) -> list[str]:
    return [_nginx() or "nginx", "-p", str(conf.parent), "-c", str(conf)]


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    """The port of the upstream, on the load's core."""
    www = folder / "www"
    www.mkdir()
    (www / "10k").write_bytes(messages.JSON * 102 + b"x" * 40)
    (www / "1m").write_bytes(os.urandom(1_048_576))
    port = servers.free_port()
    conf = Site(folder, 0).write("upstream.nginx", "upstream.conf", port=port, json=messages.JSON.decode())
    with servers.running(_command(conf), partial(servers.accepts, port), folder / "upstream.out", core=LOAD):
        yield port


def _tls(site: Site) -> tuple[int, str]:
    """A second listener with TLS, where it is measured."""
    if not site.tls:
        return 0, ""
    chain, key = certificate.files(site.folder)
    port = servers.free_port()
    return port, f"listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {chain}; ssl_certificate_key {key};"


@contextmanager
def _started(site: Site, conf: str, name: str, **values: object) -> Iterator[Running]:
    port = servers.free_port()
    tls_port, tls = _tls(site)
    path = site.write(conf, f"{name}.conf", port=port, name=name, tls=tls, **values)
    with servers.running(
        _command(path), partial(servers.accepts, port), site.folder / f"{name}.out", core=ACT
    ) as process:
        yield Running.of(port, process, tls_port)


@contextmanager
def _proxy(site: Site) -> Iterator[Running]:
    with _started(site, "proxy.nginx", "proxy") as running:
        yield running


@contextmanager
def _lua(site: Site, log: str = "") -> Iterator[Running]:
    name = "lua-log" if log else "lua"
    site.keys()
    (site.folder / "gcra.lua").write_text((CONF / "gcra.lua").read_text())
    log = log.replace("{{folder}}", str(site.folder)).replace("{{name}}", name)
    with (
        servers.store(site.folder, core=LOAD) as store,
        _started(site, "lua.nginx", name, modules=MODULES, store=store, log=log) as running,
    ):
        yield running


PROXY = Peer("nginx", "proxy only", missing, _version, _proxy)
LUA = Peer("nginx-lua", "key, exact limit; no log, no metrics", _lua_missing, _lua_version, _lua)
LUA_LOG = Peer("nginx-lua-log", "key, exact limit, log, counters", _lua_missing, _lua_version, partial(_lua, log=LOG))
