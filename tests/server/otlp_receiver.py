"""A collector for tests: takes traces by OTLP over HTTP on a real socket, or refuses, or says nothing at all."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Receiver:
    """`spans` are what came, `fields` the header fields of each request. `status` is what it answers; `held`: it takes
    requests and answers none."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.fields: list[dict[str, str]] = []
        self.requests = 0
        self.status = 200
        self.held = threading.Event()
        self.held.set()
        self.came = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests += 1
                outer.held.wait(60)
                if outer.status == 200 and self.path == "/v1/traces":
                    outer.take({name.lower(): value for name, value in self.headers.items()}, body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(outer.status)
                if outer.status == 307:
                    self.send_header("Location", outer.url + "/elsewhere")
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def take(self, fields: dict[str, str], body: bytes) -> None:
        if fields.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        message = ExportTraceServiceRequest.FromString(body)
        with self.came:
            self.fields.append(fields)
            for resource in message.resource_spans:
                self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
                for scope in resource.scope_spans:
                    self.spans += scope.spans
            self.came.notify_all()

    def until(self, name: str, count: int = 1) -> list[Span]:
        """The spans of that name, once there are so many."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.named(name)) >= count, 60), [each.name for each in self.spans]
            return self.named(name)

    def named(self, name: str) -> list[Span]:
        return [each for each in self.spans if each.name == name]

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.held.set()
        self.server.shutdown()
        self.server.server_close()


def told(span: Span) -> dict[str, Any]:
    """Its attributes."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
