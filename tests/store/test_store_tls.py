"""Stores with TLS: one server, a cluster and Sentinels, whose certificates an authority of the tests' own has signed
and who ask for the client's. Debian's redis-server has TLS; the packaged Valkey does not."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from gateway.store.client import Client
from gateway.store.cluster_line import ClusterLine
from gateway.store.hot import HotConnection, pack
from tests.servers import free_port, until
from tests.store.unreachable import is_no_store

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")


@dataclass
class Place:
    """A server with TLS alone that is a cluster of one, a Sentinel that watches another, and the clients' files."""

    cluster: int
    single: int
    sentinel: int
    folder: Path

    def url(self, start: str, port: int, path: str = "", more: str = "") -> str:
        files = (
            f"ssl_ca_certs={self.folder}/ca.pem&ssl_certfile={self.folder}/own.pem&ssl_keyfile={self.folder}/own.key"
        )
        return f"{start}://localhost:{port}{path}?{files}{more}"

    def client(self, port: int) -> redis.Redis:
        return redis.Redis.from_url(self.url("rediss", port))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, cert in (
        ("server", authority.issue_cert("localhost", "127.0.0.1")),
        ("own", authority.issue_cert("node")),
    ):
        cert.private_key_pem.write_to_path(folder / f"{name}.key")
        cert.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    found = Place(free_port(), free_port(), free_port(), folder)
    tls = f"--tls-cert-file {folder}/server.pem --tls-key-file {folder}/server.key --tls-ca-cert-file {folder}/ca.pem"
    common = f"--port 0 --bind 127.0.0.1 127.0.0.2 --save '' {tls}".replace("''", "").split()
    watching = folder / "sentinel.conf"
    watching.write_text(
        f"port 0\ntls-port {found.sentinel}\ntls-replication yes\nsentinel monitor shop 127.0.0.1 {found.single} 1\n"
        + "".join(f"{each.strip()}\n" for each in tls.split("--") if each.strip())
    )
    processes: list[subprocess.Popen[bytes]] = []
    try:
        _start(processes, folder, *common, "--tls-port", str(found.single))
        cluster = ("--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-announce-ip", "127.0.0.1")
        _start(processes, folder, *common, "--tls-port", str(found.cluster), *cluster)
        _start(processes, folder, str(watching), "--sentinel")
        for port in (found.single, found.cluster, found.sentinel):
            until(lambda port=port: _answers(found, port, processes), "the server answers")  # type: ignore[misc]
        with found.client(found.cluster) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            until(lambda: b"cluster_state:ok" in _info(client), "the cluster is whole")
        yield found
    finally:
        for each in processes:
            each.kill()
            each.wait()


def _start(processes: list[subprocess.Popen[bytes]], folder: Path, *options: str) -> None:
    if BINARY is None:
        assert not os.environ.get("PENSTOCK_REQUIRE_REDIS"), "redis-server is missing"
        pytest.skip("no redis-server or valkey-server with TLS on PATH")
    with (folder / "log").open("ab") as log:
        processes.append(subprocess.Popen([BINARY, *options], cwd=folder, stdout=log, stderr=log))


def _answers(place: Place, port: int, processes: list[subprocess.Popen[bytes]]) -> bool:
    if any(each.poll() is not None for each in processes):
        assert not os.environ.get("PENSTOCK_REQUIRE_REDIS"), (place.folder / "log").read_text()
        pytest.skip(f"{BINARY} was built without TLS")
    try:
        with place.client(port) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def _info(client: redis.Redis) -> bytes:
    told = client.execute_command("CLUSTER INFO")
    return told if isinstance(told, bytes) else "\n".join(f"{k}:{v}" for k, v in told.items()).encode()


async def ask(line: Any, command: bytes) -> Any:
    found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    line.call(b"key", command, found.set_result)
    return await found


class _Single(HotConnection):
    def call(self, _key: bytes, command: bytes, answer: Any) -> None:  # type: ignore[override]
        super().call(command, answer)


@pytest.mark.parametrize("kind", ["single", "cluster", "sentinel"])
async def test_both_ways_to_a_store_with_tls_show_a_certificate_and_check_the_other(place: Place, kind: str) -> None:
    url = {
        "single": place.url("rediss", place.single),
        "cluster": place.url("rediss+cluster", place.cluster),
        "sentinel": place.url("rediss+sentinel", place.sentinel, "/shop"),
    }[kind]
    line = ClusterLine(url) if kind == "cluster" else _Single(url)
    client = Client(url)
    try:
        await line.connect()
        async with asyncio.timeout(20):
            while await ask(line, pack(b"SET", b"key", kind.encode())) != b"OK":  # noqa: ASYNC110 - tried again by itself
                await asyncio.sleep(0.01)
        assert await client.execute("GET", "key") == kind.encode()
    finally:
        await line.close()
        await client.close()


async def test_a_store_whose_authority_is_not_known_is_no_store(place: Place) -> None:
    await is_no_store(f"rediss://localhost:{place.single}")


async def test_a_certificate_must_name_the_host_unless_the_url_says_otherwise(place: Place) -> None:
    """127.0.0.2 is this machine too, and stands in no certificate."""
    elsewhere = place.url("rediss", place.single).replace("localhost", "127.0.0.2")
    assert not await _reaches(elsewhere)
    assert await _reaches(f"{elsewhere}&ssl_check_hostname=false")


async def _reaches(url: str) -> bool:
    connection = HotConnection(url)
    try:
        return await connection.connect()
    finally:
        await connection.close()
