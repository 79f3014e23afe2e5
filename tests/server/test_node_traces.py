"""Traces of a real node, taken by a collector that speaks OTLP over a real socket."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.server.nodes import Node, ask, until
from tests.server.otlp_receiver import Receiver, told

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
COLLECTOR_KEY = "hush-this-is-the-collectors-key"
RELAY = """
kind: ApiComponent
name: away
version: v1
base_path: /away
operations:
  ask:
    effect: safe
    input: {{}}
    output: {{type: object, properties: {{allow: boolean}}}}
    http: {{backend: up, request: "GET /typed"}}
backends:
  up: {{http: {{targets: ["{url}"], retries: 1}}}}
policies: [{{use: anonymous}}]
rest:
  ANY /relay/**: {{relay: up, path: "/**"}}
  GET /typed: ask
  GET /always: {{call: ask, policies: [{{id: t, use: trace, with: {{rate: 1}}}}]}}
  GET /decided: {{call: ask, policies: [{{id: ask-them, use: external-decision, with: {{url: "{url}/decide"}}}}]}}
"""


class Upstream(http.server.BaseHTTPRequestHandler):
    """Tells what it was sent."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        body = b'{"allow": true}'
        self.send_response(503 if self.path.startswith("/fails") else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, collector: Receiver, upstream: str) -> Iterator[Node]:
    with Node(
        tmp_path_factory.mktemp("traces"),
        "--processes",
        "node_processes",
        "--egress",
        "127.0.0.0/8",
        workers=1,
        PENSTOCK_OTLP_ENDPOINT=collector.url,
        PENSTOCK_OTLP_HEADERS=f"x-api-key={COLLECTOR_KEY}",
        PENSTOCK_TRACES_RATIO="0",
        PENSTOCK_TRACES_PARENT="any",
        PENSTOCK_TRACES_SERVICE="edge",
        PENSTOCK_TRACES_ATTRIBUTES="deployment.environment.name=test",
        PENSTOCK_METRICS_PORT="0",
    ) as node:
        node.start()
        node.publish_shop()
        found = node.apply(RELAY.format(url=upstream))
        assert found.status_code == 200, found.text
        yield node


@pytest.fixture(scope="module")
def key(node: Node) -> str:
    return node.key()


def below(collector: Receiver, span: Span, count: int = 1) -> list[Span]:
    """The spans whose parent it is, once there are so many."""

    def found() -> list[Span]:
        children = [each for each in collector.spans if each.parent_span_id == span.span_id]
        return children if len(children) >= count else []

    children: list[Span] = until(found, f"{span.name} has {count} spans below it")
    return children


def test_a_relayed_request_has_a_server_span_and_one_for_each_attempt(node: Node, collector: Receiver) -> None:
    answer = ask(
        "GET", node.url + "/away/relay/things/7?secret=hush", headers={"traceparent": SAMPLED, "tracestate": "v=1"}
    )
    assert answer.status_code == 200
    (span,) = collector.until("GET /away/relay/**")
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.kind) == (TRACE, PARENT, Span.SPAN_KIND_SERVER)
    about = told(span)
    assert about["http.route"] == "/away/relay/**"
    assert about["url.path"] == "/away/relay/things/7"
    assert about["http.response.status_code"] == 200
    assert (about["penstock.component"], about["penstock.version"]) == ("away", "v1")
    (attempt,) = below(collector, span)
    assert (attempt.name, attempt.kind) == ("GET", Span.SPAN_KIND_CLIENT)
    path, fields = Upstream.seen[-1]
    assert path == "/things/7?secret=hush"
    assert fields["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"
    assert fields["tracestate"] == "v=1"
    assert span.start_time_unix_nano <= attempt.start_time_unix_nano <= attempt.end_time_unix_nano
    assert "hush" not in repr(collector.spans)


def test_a_failed_request_tells_its_type(node: Node, collector: Receiver) -> None:
    assert ask("GET", node.url + "/away/relay/fails", headers={"traceparent": SAMPLED}).status_code == 503
    span = next(each for each in collector.until("GET /away/relay/**", 2) if told(each)["url.path"].endswith("fails"))
    assert (told(span)["error.type"], span.status.code) == ("503", Status.STATUS_CODE_ERROR)


def test_a_refused_request_names_the_step(node: Node, collector: Receiver) -> None:
    assert ask("GET", node.url + "/shop/v1/who", headers={"traceparent": SAMPLED}).status_code == 401
    (span,) = collector.until("GET /shop/v1/who")
    assert told(span)["penstock.step"] == "keys"
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_a_typed_call_and_its_backend_are_one_trace(node: Node, collector: Receiver) -> None:
    assert ask("GET", node.url + "/away/typed", headers={"traceparent": SAMPLED}).status_code == 200
    (span,) = collector.until("GET /away/typed")
    names = {each.name for each in below(collector, span, 2)}
    assert names == {"step call", "GET"}
    assert told(span)["penstock.operation"] == "ask"
    assert Upstream.seen[-1][1]["traceparent"].startswith(f"00-{TRACE}-")


def test_a_decision_service_is_asked_within_the_trace(node: Node, collector: Receiver) -> None:
    assert ask("GET", node.url + "/away/decided", headers={"traceparent": SAMPLED}).status_code == 200
    (span,) = collector.until("GET /away/decided")
    below(collector, span, 3)
    asked = [fields for path, fields in Upstream.seen if path == "/decide"]
    assert asked[-1]["traceparent"].startswith(f"00-{TRACE}-")


def test_a_step_that_waits_for_the_store_has_a_span(node: Node, collector: Receiver, key: str) -> None:
    with_trace = {"X-API-KEY": key, "traceparent": SAMPLED}

    assert ask("GET", f"{node.url}/shop/v1/limited", headers=with_trace).status_code == 200
    (span,) = collector.until("GET /shop/v1/limited")
    assert "step day" in {each.name for each in below(collector, span, 2)}
    assert told(span)["penstock.application"] == "partner"


def test_a_message_goes_on_in_the_trace_of_who_published_it(node: Node, collector: Receiver, key: str) -> None:

    headers = {"X-API-KEY": key, "traceparent": SAMPLED}
    assert ask("POST", f"{node.url}/shop/v1/orders", json={"id": 5}, headers=headers).status_code == 202
    (sent,) = collector.until("send orders")
    (processed,) = collector.until("process orders")
    assert processed.trace_id == sent.trace_id == bytes.fromhex(TRACE)
    assert processed.parent_span_id == sent.span_id
    assert [link.span_id for link in processed.links] == [sent.span_id]
    assert (sent.kind, processed.kind) == (Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER)
    assert told(processed)["messaging.destination.name"] == "orders"


def test_what_its_caller_did_not_sample_is_not_sampled_and_goes_on_as_it_came(node: Node, collector: Receiver) -> None:
    assert ask("GET", node.url + "/away/relay/quiet", headers={"traceparent": NOT}).status_code == 200
    assert Upstream.seen[-1][1]["traceparent"] == NOT
    assert ask("GET", node.url + "/away/relay/heard", headers={"traceparent": SAMPLED}).status_code == 200

    def paths() -> list[str]:
        return [told(each)["url.path"] for each in collector.named("GET /away/relay/**")]

    until(lambda: "/away/relay/heard" in paths(), "the later one is there")
    assert "/away/relay/quiet" not in paths()


def test_a_policy_has_a_request_traced(node: Node, collector: Receiver) -> None:
    assert node.get("/away/always").status_code == 200
    (span,) = collector.until("GET /away/always")
    assert span.parent_span_id == b""
    assert {each.name for each in below(collector, span, 2)} == {"step call", "GET"}


def test_the_collector_gets_the_resource_and_the_secret_field_and_nobody_else_does(
    node: Node, collector: Receiver
) -> None:
    assert node.get("/away/always").status_code == 200
    collector.until("GET /away/always")
    resource = collector.resources[-1]
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("edge", "test")
    assert collector.fields[-1]["x-api-key"] == COLLECTOR_KEY
    written = node.log.read_text() + "".join(node.said) + str(node.health())
    written += (node.data / "log" / "access.log").read_text() + node.admin("GET", "/metrics").text
    for pid in [node.process.pid, *node.pids()]:
        written += Path(f"/proc/{pid}/cmdline").read_text()
    assert COLLECTOR_KEY not in written


def test_the_access_log_has_the_trace_id(node: Node, collector: Receiver) -> None:
    log = node.data / "log" / "access.log"
    ask("GET", node.url + "/away/relay/logged", headers={"traceparent": SAMPLED})
    line = until(
        lambda: next((each for each in log.read_text().splitlines() if "/relay/logged" in each), ""), "it is written"
    )
    assert f'"trace":"{TRACE}"' in line


def test_the_latency_histogram_has_the_trace_as_an_exemplar(node: Node, collector: Receiver) -> None:
    ask("GET", node.url + "/away/relay/exemplar", headers={"traceparent": SAMPLED})
    url = node.line(r"metrics +(\S+)")

    accept = {"Accept": "application/openmetrics-text"}
    until(lambda: f'# {{trace_id="{TRACE}"}}' in ask("GET", url, headers=accept).text, "there is an exemplar")
    assert TRACE not in ask("GET", url).text


def test_a_collector_that_takes_nothing_slows_no_request_and_is_counted(node: Node, collector: Receiver) -> None:
    collector.held.clear()
    try:
        for _ in range(50):
            assert node.get("/away/always").status_code == 200
    finally:
        collector.held.set()
    collector.status = 400
    try:
        before = collector.requests
        assert node.get("/away/always").status_code == 200
        until(lambda: collector.requests > before, "it was asked")
    finally:
        collector.status = 200
    failed = r'penstock_spans_total\{outcome="failed"\} ([1-9]\d*)'
    until(lambda: re.search(failed, node.admin("GET", "/metrics").text), "the loss is counted")


def test_a_redirect_is_not_followed_with_the_secret(node: Node, collector: Receiver) -> None:
    collector.status = 307
    try:
        before, requests = len(collector.fields), collector.requests
        assert node.get("/away/always").status_code == 200
        until(lambda: collector.requests > requests, "it was asked")
    finally:
        collector.status = 200
    assert len(collector.fields) == before
