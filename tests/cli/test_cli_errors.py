"""What the command line says when it cannot: the way out, and an exit code that means something."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from gateway.cli.setting_words import misspelt
from gateway.core.settings import Settings
from tests.admin.admin_server import Served
from tests.cli.cli_harness import penstock


def test_a_command_that_is_not_there_names_the_nearest() -> None:
    ran = penstock("publsh", ".")
    assert (ran.code, "publish" in ran.err) == (2, True)


def test_an_option_that_is_not_there_names_the_nearest() -> None:
    ran = penstock("list", "--jsn")
    assert (ran.code, "--json" in ran.err) == (2, True)


def test_a_file_that_is_not_there_is_named() -> None:
    for command in ("check", "plan", "publish"):
        ran = penstock(command, "missing.yaml")
        assert (ran.code, "missing.yaml" in ran.err) == (2, True)


def test_a_folder_without_documents_is_named() -> None:
    Path("empty").mkdir()
    ran = penstock("check", "empty")
    assert (ran.code, "empty" in ran.err) == (1, True)


def test_without_a_gateway_named_the_ways_to_name_one_are_told() -> None:
    ran = penstock("list")
    assert ran.code == 2
    assert "--url" in ran.err
    assert "PENSTOCK_URL" in ran.err


def test_without_a_token_the_ways_to_give_one_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "http://127.0.0.1:9")
    ran = penstock("list")
    assert (ran.code, "PENSTOCK_TOKEN" in ran.err) == (2, True)


@pytest.mark.parametrize("url", ["nonsense", "127.0.0.1:8081", "ftp://127.0.0.1", "http://127.0.0.1:notaport"])
def test_a_wrong_url_is_wrong_usage(url: str) -> None:
    ran = penstock("list", "--url", url, "--token", "pt_x")
    assert (ran.code, "http://127.0.0.1:8081" in ran.err) == (2, True)


def test_a_gateway_that_is_not_there_has_an_exit_code_of_its_own() -> None:
    ran = penstock("list", "--url", "http://127.0.0.1:9", "--token", "pt_x")
    assert (ran.code, "penstock serve" in ran.err) == (3, True)


def test_a_wrong_token_is_told_and_not_shown(gateway: Served) -> None:
    ran = penstock("list", "--token", "pt_wrong-token")
    assert ran.code == 1
    assert "--token" in ran.err
    assert "pt_wrong-token" not in ran.out + ran.err


def test_a_role_that_is_missing_is_named(gateway: Served) -> None:
    ran = penstock("apps", "create", "partner", "--token", gateway.node.tokens["viewer"])
    assert (ran.code, "operator" in ran.err) == (1, True)


def test_a_refusal_is_json_for_programs(gateway: Served) -> None:
    ran = penstock("show", "shop@v1", "--json")
    assert ran.code == 1
    assert ran.out == ""
    assert orjson.loads(ran.err)["status"] == 404


def test_a_store_that_is_away_is_told(gateway: Served) -> None:
    gateway.node.store.away = True
    ran = penstock("list")
    gateway.node.store.away = False
    assert (ran.code, "store" in ran.err.lower()) == (1, True)


@pytest.mark.parametrize("text", ["{", "[]", "\ufeff"])
def test_a_context_that_nobody_wrote_is_told(text: str) -> None:
    Path("var").mkdir()
    Path("var/context.json").write_text(text)
    ran = penstock("list")
    assert (ran.code, "context.json" in ran.err) == (2, True)


class _Other(http.server.BaseHTTPRequestHandler):
    """A server that is not Penstock."""

    def do_GET(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Says nothing."""


@pytest.fixture
def other() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Other) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 302, 404, 500])
@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'"x"', b"", b"{}"])
def test_a_server_that_is_not_penstock_is_told(other: http.server.HTTPServer, status: int, body: bytes) -> None:
    other.answer = (status, body)  # type: ignore[attr-defined]
    ran = penstock("list", "--url", f"http://127.0.0.1:{other.server_port}", "--token", "pt_x")
    assert (ran.code, "penstock serve" in ran.err) == (3, True)


def test_a_header_that_is_none_is_wrong_usage(gateway: Served) -> None:
    ran = penstock("explain", "GET", "/", "-H", "Accept")
    assert (ran.code, "Name: value" in ran.err) == (2, True)


@pytest.mark.parametrize("value", ["0", "x", "70000"])
def test_a_setting_that_cannot_be_is_named_before_anything_starts(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS", value)
    ran = penstock("serve")
    assert (ran.code, "workers" in ran.err) == (2, True)


@pytest.mark.parametrize("text", ["- 1", "{", "wrokers: 2", "port: many"])
def test_a_file_of_settings_that_cannot_be_is_told(text: str) -> None:
    Path("penstock.yaml").write_text(text)
    ran = penstock("serve", "--config", "penstock.yaml")
    assert ran.code == 2
    assert "penstock.yaml" in ran.err or "wrokers" in ran.err or "port" in ran.err


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PENSTOCK_MAX_LAG", "fast", "max_lag (PENSTOCK_MAX_LAG): must be a number"),
        ("PENSTOCK_MAX_LAGS", "1", "Did you mean PENSTOCK_MAX_LAG?"),
        ("PENSTOCK_EGRESS", "10.0.0.0/33", "egress (PENSTOCK_EGRESS): '10.0.0.0/33' is no entry of an egress list."),
        ("PENSTOCK_LISTEN", "nowhere", "write HOST:PORT"),
        ("PENSTOCK_LISTEN", "a:1 client_ca=/x", "listen[0].tls.certificates (PENSTOCK_LISTEN): is missing"),
        ("PENSTOCK_LISTEN", "a:1 proxy_protocol=yes", "'yes' is no network; write 10.0.0.0/8"),
    ],
)
def test_a_wrong_setting_is_told_with_where_it_was_given_and_the_way_out(
    variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    ran = penstock("serve")
    assert ran.code == 2
    assert told in " ".join(ran.err.split())
    assert "Value error" not in ran.err


def test_a_secret_among_wrong_settings_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "pt_do_not_show")
    monkeypatch.setenv("PENSTOCK_KEY_SECRET", "do-not-show-this-one")
    ran = penstock("serve", "--workers", "0")
    assert "workers (--workers): must be at least 1" in ran.err
    assert "not-show" not in ran.err
    assert "not_show" not in ran.err


def test_variables_that_a_cluster_sets_for_a_service_of_this_name_are_nobodys_mistake() -> None:
    names = ["PENSTOCK_SERVICE_HOST", "PENSTOCK_SERVICE_PORT", "PENSTOCK_PORT_8080_TCP", "PENSTOCK_PORT_8080_TCP_ADDR"]
    assert not misspelt([*names, "PENSTOCK_URL", "PENSTOCK_TOKEN", "PENSTOCK_KEY"], "PENSTOCK_", Settings.model_fields)
