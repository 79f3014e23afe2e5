"""A node on several listeners: all workers serve them, certificates are kept, the node asks itself (CASES A57, H35)."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.core.listening import UNIX, split
from tests.server.nodes import Node, kill, until
from tests.server.ports import AUTHORITY, Certificates, trusting

READY = b"GET /-/ready HTTP/1.1\r\nHost: gw.example\r\nConnection: close\r\n\r\n"


def connect(url: str, tls: ssl.SSLContext | None = None) -> socket.socket:
    if url.startswith(UNIX):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(url[len(UNIX) :])
        return sock
    sock = socket.create_connection(split(url.rpartition("/")[2]), 20)
    return tls.wrap_socket(sock, server_hostname="gw.example") if tls is not None else sock


def ask(url: str, request: bytes, tls: ssl.SSLContext | None = None, before: bytes = b"") -> tuple[int, bytes]:
    """Status and body of a request on a connection of its own."""
    with connect(url, tls) as sock:
        sock.sendall(before + request)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    return int(data.split(b" ")[1]), data.partition(b"\r\n\r\n")[2]


@dataclass
class Many:
    """A node with a plain listener, one with TLS, a unix socket and one behind a proxy."""

    node: Node
    certificates: Certificates
    key: str
    urls: list[str]

    def who(self) -> bytes:
        """The request for the process id of the worker that answers."""
        return b"GET /shop/v1/who HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-KEY: %b\r\n\r\n" % self.key.encode()

    def replaced(self, victim: int) -> None:
        """Waits until two others serve."""

        def pids() -> set[bytes]:
            return {ask(self.urls[0], self.who())[1] for _ in range(16)}

        until(lambda: str(victim).encode() not in (found := pids()) and len(found) == 2, "another took its place")

    def shown(self) -> set[str]:
        """The names in the certificate that a new connection gets, as each worker gives it."""
        names = set()
        for _ in range(16):
            with connect(self.urls[1], trusting()) as sock:
                names |= {value for _, value in sock.getpeercert()["subjectAltName"]}  # type: ignore[attr-defined]
        return names


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    folder = tmp_path_factory.mktemp("many")
    certificates = Certificates(folder)
    listen = (
        f"127.0.0.1:0 name=public {certificates.put('a', 'gw.example', 'first.example')}",
        f"unix:{folder}/gw.sock mode=0600",
        "127.0.0.1:0 name=behind proxy_protocol=127.0.0.1",
    )
    options = [word for each in listen for word in ("--listen", each)]
    with Node(folder / "node", "--processes", "node_processes", *options) as node:
        node.start()
        node.publish_shop()
        urls = [line.split()[1] for line in node.said if line.startswith("gateway")]
        yield Many(node, certificates, node.key(), urls)


def test_every_listener_serves_and_is_listed(many: Many) -> None:
    plain, tls, unix, behind = many.urls
    assert (plain[:7], tls[:8], unix[:6], behind[:7]) == ("http://", "https://", "unix:/", "http://")
    assert many.node.admin("GET", "/nodes").json()["items"][0]["urls"] == many.urls
    assert ask(plain, many.who())[0] == 200
    assert ask(tls, many.who(), trusting())[0] == 200
    assert ask(unix, many.who())[0] == 200
    assert ask(behind, many.who(), before=b"PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n")[0] == 200
    assert os.stat(unix[len(UNIX) :]).st_mode & 0o777 == 0o600
    assert '"client":"198.51.100.7"' in until(
        lambda: "198.51.100.7" in (log := (many.node.data / "log" / "access.log").read_text()) and log, "it is logged"
    )


@pytest.mark.parametrize("listener", [0, 1])
def test_connections_are_spread_over_the_workers(many: Many, listener: int) -> None:
    """One in a million such tests sees fewer than four of 32 at a fair coin."""
    tls = trusting() if listener else None
    by_worker = Counter(ask(many.urls[listener], many.who(), tls)[1] for _ in range(32))
    assert len(by_worker) == 2
    assert min(by_worker.values()) >= 4, by_worker


def test_connections_that_wait_for_a_hanging_worker_are_served_by_another(many: Many) -> None:
    hanging, other = many.node.workers_pids()
    os.kill(hanging, signal.SIGSTOP)
    try:
        answers: list[tuple[int, bytes]] = []
        requests = [(many.urls[0], None), (many.urls[1], trusting())] * 8
        threads = [
            threading.Thread(target=lambda url=url, tls=tls: answers.append(ask(url, many.who(), tls)))
            for url, tls in requests
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {status for status, _ in answers} == {200}
        assert len(answers) == len(requests)
        assert str(other).encode() in {pid for _, pid in answers}
    finally:
        kill(hanging)
    many.replaced(hanging)


def test_a_client_that_speaks_the_wrong_protocol_hurts_no_worker(many: Many) -> None:
    workers = many.node.workers_pids()
    for sent in (READY, b"\0" * 4096, b"\x16\x03\x01" + b"\xff" * 600, b""):
        with connect(many.urls[1]) as sock:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    assert ask(many.urls[1], many.who(), trusting())[0] == 200
    assert many.node.workers_pids() == workers
    until(lambda: _metric(many, "penstock_tls_handshake_failures_total") >= 4, "the failures are counted")
    assert _metric(many, "penstock_shed_requests_total") == 0


def _metric(many: Many, name: str) -> float:
    lines = many.node.admin("GET", "/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).rpartition(" ")[2])


def test_certificates_follow_their_files_and_a_broken_one_keeps_the_old(many: Many) -> None:
    node, certificates = many.node, many.certificates
    with connect(many.urls[1], trusting()) as before:
        certificates.put("a", "gw.example", "second.example")
        node.process.send_signal(signal.SIGHUP)
        until(lambda: many.shown() == {"gw.example", "second.example"}, "all workers have the new one")

        (certificates.folder / "a.pem").write_text("broken")
        (problem,) = until(lambda: node.admin("GET", "/nodes").json()["items"][0]["problems"], "the node tells it")
        assert problem.startswith("listen public: tls.certificates[0].certificate ")
        until(lambda: node.logged(problem), "its log tells it, too")
        assert many.shown() == {"gw.example", "second.example"}

        victim, _ = node.workers_pids()
        kill(victim)
        many.replaced(victim)
        assert many.shown() == {"gw.example", "second.example"}, "it starts with what served last"

        certificates.put("a", "gw.example", "third.example")
        until(lambda: many.shown() == {"gw.example", "third.example"}, "all workers have the third one")
        until(lambda: not node.admin("GET", "/nodes").json()["items"][0]["problems"], "the problem is gone")
        before.sendall(READY)
        data = before.recv(65536)
    assert not data or data.startswith(b"HTTP/1.1 200"), "it was served, or its worker was the one that was killed"
    assert "PRIVATE" not in node.log.read_text()


def test_health_is_told_on_every_listener_without_a_key(many: Many) -> None:
    for path in (b"/-/live", b"/-/ready"):
        assert ask(many.urls[0], READY.replace(b"/-/ready", path))[0] == 200
        assert ask(many.urls[0], READY.replace(b"/-/ready", path).replace(b"GET", b"DELETE"))[0] == 405
    assert ask(many.urls[1], READY, trusting()) == (200, b'{"ready":true}')
    assert ask(many.urls[0], READY.replace(b"/-/ready", b"/-/other"))[0] == 404


def test_a_node_asks_itself_where_every_listener_wants_what_it_has_not(tmp_path: Path) -> None:
    """Client certificates, and a proxy elsewhere: publishing works all the same."""
    certificates = Certificates(tmp_path)
    listen = (
        f"127.0.0.1:0 {certificates.put('a', 'gw.example')} {certificates.ca}",
        "127.0.0.1:0 proxy_protocol=192.0.2.0/24",
    )
    options = [word for each in listen for word in ("--listen", each)]
    environment = {"PENSTOCK_HEALTH_PATH": "/own/health"}
    with Node(tmp_path / "node", "--processes", "node_processes", *options, workers=1, **environment) as node:
        node.launch("--admin-port", "0")
        node.connect()
        node.publish_shop()
        own = trusting(own=AUTHORITY.issue_cert("app.example"))
        assert ask(node.url, READY.replace(b"/-/ready", b"/own/health/ready"), own)[0] == 200
        assert ask(node.url, READY, own)[0] == 404


def refusal(folder: Path, *options: str) -> str:
    with Node(folder, *options) as node:
        node.launch()
        assert node.ended() == 1
        return node.log.read_text() + "\n".join(node.said)


def test_a_listener_that_cannot_be_is_refused_at_start_with_its_place(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    words = certificates.put("a", "gw.example")
    (tmp_path / "a.key").write_bytes((tmp_path / "ca.pem").read_bytes())
    said = refusal(tmp_path / "one", "--listen", f"127.0.0.1:0 name=public {words}")
    assert f"listen public: tls.certificates[0].key {tmp_path}/a.key cannot be used" in said.replace("\n", " ")
    said = refusal(tmp_path / "two", "--listen", f"unix:{tmp_path}/none/gw.sock")
    assert f"Cannot listen on unix:{tmp_path}/none/gw.sock: No such file or directory" in said.replace("\n", " ")


def test_settings_that_are_not_understood_are_refused_with_the_setting(tmp_path: Path) -> None:
    with Node(tmp_path, "--listen", "127.0.0.1:0 colour=red") as node:
        node.launch()
        assert node.ended() == 2
        said = node.log.read_text()
    assert "listen[0]" in said
    assert "'colour=red' is not understood" in said
