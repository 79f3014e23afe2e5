"""Policies in Python on a started node: isolated ones in a process of their own, trusted ones in the workers."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.server.nodes import Node, ask, gone, kill, until

SECRET = "planted-cluster-secret-0123456789abcdef"

DOCUMENT = """
kind: ApiComponent
name: own
version: v1
base_path: /own
backends: {{up: {{http: {{targets: ["{}"]}}}}}}
policies: [{{use: anonymous}}]
rest:
  ANY /team/**: {{relay: up, policies: [{{use: team, with: {{teams: [red, blue]}}}}, {{use: near}}]}}
  ANY /token/**: {{relay: up, policies: [{{drop: anonymous}}, {{use: token}}]}}
  ANY /shout/**: {{relay: up, policies: [{{use: shout}}]}}
  GET /look: {{relay: up, policies: [{{use: look}}]}}
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Tells what reached the backend."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = orjson.dumps({"headers": {k.lower(): v for k, v in self.headers.items()}, "body": body.decode()})
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST

    def log_message(self, *_args: object) -> None: ...


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, echo: str) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("policies")
    options = ("--policies-code", "node_policies", "--processes", "near_policies")
    with Node(
        folder, *options, workers=1, PENSTOCK_KEY_SECRET=SECRET, SOME_PASSWORD="planted-in-the-environment"
    ) as it:
        it.start()
        made = it.admin("POST", "/applications", json={"name": "partner"})
        assert made.status_code == 201, made.text
        published = it.apply(DOCUMENT.format(echo))
        assert published.status_code == 200, published.text
        yield it


def get(node: Node, path: str, **headers: str) -> Any:
    return ask(
        "GET", f"{node.url}/own{path}", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def host_pid(node: Node) -> int:
    (pid,) = node.pids("gateway.server.policy_host")
    return pid


def test_an_isolated_policy_refuses_with_its_own_problem(node: Node) -> None:
    answer = get(node, "/team/x", x_team="green")
    assert (answer.status_code, answer.json()["code"]) == (403, "no_such_team")
    assert answer.json()["detail"] == "green is none of red, blue."


def test_what_it_changes_reaches_the_backend_and_the_client(node: Node) -> None:
    answer = get(node, "/team/x", x_team="red", x_secret_hint="hush")
    assert answer.status_code == 200
    assert answer.headers["X-Team-Served"] == "red"
    told = answer.json()["headers"]
    assert told["x-known-team"] == "red"
    assert not {"x-team", "x-secret-hint"} & told.keys()


def test_a_trusted_policy_runs_in_the_worker(node: Node) -> None:
    assert int(get(node, "/team/x", x_team="red").headers["X-Served-By"]) in node.workers_pids()


def test_an_isolated_one_runs_in_a_process_that_knows_no_secret(node: Node) -> None:
    pid, _, names = get(node, "/look").text.partition(" ")
    assert int(pid) == host_pid(node)
    assert not [name for name in names.split(",") if name.startswith("PENSTOCK_") or "PASSWORD" in name]
    assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_policy_that_protects_lets_in_whom_it_knows(node: Node) -> None:
    assert get(node, "/token/x", x_token="good").status_code == 200
    assert get(node, "/token/x", x_token="bad").status_code == 403
    assert get(node, "/token/x").status_code == 403


def test_a_policy_that_fails_decides_nothing(node: Node) -> None:
    answer = get(node, "/token/x", x_token="fail")
    assert answer.status_code == 503
    assert "planted-in-an-error" not in answer.text
    assert node.logged("planted-in-an-error")


def test_a_policy_that_waits_too_long_decides_nothing(node: Node) -> None:
    answer = get(node, "/token/x", x_token="slow")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_a_policy_that_kills_its_process_hurts_no_other_request(node: Node) -> None:
    workers, victim = node.workers_pids(), host_pid(node)
    assert get(node, "/token/x", x_token="crash").status_code == 503
    gone(victim)
    assert get(node, "/team/x", x_team="red").status_code in {200, 503}
    until(lambda: get(node, "/token/x", x_token="good").status_code == 200, "another runtime serves")
    assert node.workers_pids() == workers


def test_a_policy_that_hangs_is_refused_and_its_process_replaced(node: Node) -> None:
    victim = host_pid(node)
    assert get(node, "/token/x", x_token="hang").status_code == 503
    gone(victim)
    until(lambda: get(node, "/token/x", x_token="good").status_code == 200, "another runtime serves")


def test_a_body_is_changed_on_its_way(node: Node) -> None:
    answer = ask("POST", f"{node.url}/own/shout/x", content=b"quiet")
    assert answer.json()["body"] == "QUIET"
    assert answer.json()["headers"]["content-length"] == "5"


def test_settings_are_checked_by_the_policy_itself_before_anything_is_published(node: Node, echo: str) -> None:
    before = node.health()["snapshot"]
    refused = node.apply(DOCUMENT.format(echo).replace("[red, blue]", "[a, b, c, d]"))
    assert refused.status_code == 422
    assert "at most three teams" in refused.text
    misspelt = node.apply(DOCUMENT.format(echo).replace("teams:", "tems:"))
    assert "Did you mean `teams`?" in misspelt.text
    assert node.health()["snapshot"] == before


def test_policy_kinds_list_them_with_their_schema(node: Node) -> None:
    kinds = {each["name"]: each for each in node.admin("GET", "/policy-kinds").json()["items"]}
    assert kinds["team"]["config"]["properties"]["teams"]["default"] == ["red"]
    assert kinds["token"]["protects"]
    assert (kinds["near"]["family"], kinds["near"]["summary"]) == (
        "own",
        "Marks responses with the process that served them",
    )


def test_a_package_that_cannot_be_hosted_is_told_at_start(tmp_path: Path) -> None:
    with Node(tmp_path, "--policies-code", "no_such_package") as node:
        node.launch()
        assert node.ended() != 0
        assert node.logged("The module no_such_package cannot be imported")


def test_a_killed_runtime_is_back_before_a_request_gives_up(node: Node) -> None:
    kill(host_pid(node))
    until(lambda: get(node, "/token/x", x_token="good").status_code == 200, "another runtime serves")
