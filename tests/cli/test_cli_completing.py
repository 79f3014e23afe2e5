"""What the shell completes: names of the gateway that is named, and nothing at all when that fails."""

from __future__ import annotations

import os
import shlex
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import orjson
import pytest

from gateway.cli import completing
from tests.admin.admin_harness import PLAN, TOPIC, policy, shop
from tests.admin.admin_server import Served
from tests.cli.cli_harness import Ran, penstock


@pytest.fixture
def published(gateway: Served) -> None:
    folder = Path("documents").absolute()
    folder.mkdir()
    (folder / "all.yaml").write_text(f"{shop()}---\n{policy()}---\n{PLAN}---\n{TOPIC}")
    assert penstock("publish", folder).code == 0
    assert penstock("apps", "create", "partner").code == 0


def complete(line: str, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """As bash asks when Tab is pressed behind `line`."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    monkeypatch.setenv("_PENSTOCK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    try:
        return penstock()
    finally:
        del os.environ["_PENSTOCK_COMPLETE"]


def test_names_are_completed_by_what_the_gateway_has(published: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for line, name in (
        ("penstock show sh", "shop@v1"),
        ("penstock diff shop@v1 ", "shop@v1"),
        ("penstock policies show ", "team"),
        ("penstock policies kinds api", "api-key"),
        ("penstock plans delete ", "gold"),
        ("penstock topics dead-letters ", "events"),
        ("penstock apps show par", "partner"),
        ("penstock keys create --app ", "partner"),
        ("penstock keys create --plan g", "gold"),
    ):
        assert name in complete(line, monkeypatch).out.split(), line


def test_only_names_that_begin_so_are_offered(published: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("penstock show other", monkeypatch).out.split() == []


def test_without_a_gateway_the_shell_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    unnamed = complete("penstock show ", monkeypatch)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        monkeypatch.setenv("PENSTOCK_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("PENSTOCK_TOKEN", "pt_x")
        refused = complete("penstock show ", monkeypatch)
    for ran in (unnamed, refused):
        assert (ran.out.strip(), ran.err) == ("", "")


def test_a_gateway_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PENSTOCK_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("PENSTOCK_TOKEN", "pt_x")
        ran = complete("penstock show ", monkeypatch)
    assert (ran.out.strip(), ran.err) == ("", "")


class Hostile(BaseHTTPRequestHandler):
    """Answers names that a shell would run."""

    def do_GET(self) -> None:
        body = orjson.dumps({"items": [{"name": name} for name in ("$(id)", "-rf", "a b", "x\x1b[31m", "ok")]})
        self.send_response(200)
        self.send_header("penstock-admin", "v1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PENSTOCK_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("PENSTOCK_TOKEN", "pt_x")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("hostile")
def test_nothing_but_plain_names_reaches_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("penstock show ", monkeypatch).out.split() == ["ok"]
