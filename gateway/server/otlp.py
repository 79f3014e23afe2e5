"""Spans of a node's workers on their way to a collector, by OTLP over HTTP: a thread of the control process, so that
one that is down, slow or refuses never slows anything. What waits is bounded; the newest are dropped, and counted."""

from __future__ import annotations

import gzip
import logging
import os
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.core.settings import Settings, named_values

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

log: Final = logging.getLogger("gateway.traces")

WAITING: Final = 8192  # spans
BATCH: Final = 512  # of them in one request
QUIET: Final = 60.0  # seconds between two lines of the log about a collector that takes nothing
END: Final = 2.0  # seconds that the rest has when the node ends
PATH: Final = "/v1/traces"
PAUSE: Final = 0.5  # seconds before the second try; each next one is twice as long
AGAIN: Final = frozenset((429, 502, 503, 504))


class Exporter:
    """`put` is called on the loop; everything else happens in the thread, which `start` begins."""

    def __init__(self, settings: Settings, node: str) -> None:
        assert settings.otlp_endpoint is not None
        self._settings = settings
        self._node = node
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._there = threading.Condition()
        self._ending = False
        self._told = -QUIET
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self.outcomes: Counter[str] = Counter()

    def start(self) -> None:
        self._thread.start()

    def put(self, spans: Sequence[Mapping[str, Any]]) -> None:
        """Records of `telemetry.tracing`."""
        with self._there:
            room = max(0, WAITING - len(self._waiting))
            self._waiting.extend(spans[:room])
            self.outcomes["dropped by the node"] += len(spans) - min(room, len(spans))
            self._there.notify()

    def close(self) -> None:
        """What waits is sent, if that is quick. Waits for the thread."""
        with self._there:
            self._ending = True
            self._there.notify()
        self._thread.join(END)

    def samples(self) -> dict[str, list[list[Any]]]:
        outcomes = {"exported": 0, "failed": 0, "dropped by the node": 0, **self.outcomes}
        return {"penstock_spans_total": [[outcome, count] for outcome, count in outcomes.items()]}

    # the thread

    def _run(self) -> None:
        try:
            made = _Making(self._settings, self._node)
        except (OSError, ssl.SSLError):
            log.exception("no trace is sent: the collector's certificates cannot be read")
            return
        while batch := self._next():
            try:
                self._send(made, batch)
            except Exception:
                self._failed(len(batch), "the exporter failed", error=True)
        made.close()

    def _next(self) -> list[Mapping[str, Any]]:
        """Empty at the end."""
        with self._there:
            while not self._waiting and not self._ending:
                self._there.wait()
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _send(self, made: _Making, batch: Sequence[Mapping[str, Any]]) -> None:
        """With its tries, all within the timeout."""
        body = made.encoded(batch)
        end = time.monotonic() + self._settings.otlp_timeout
        pause = PAUSE
        while True:
            problem, again = made.sent(body, max(0.1, end - time.monotonic()))
            if not problem:
                self.outcomes["exported"] += len(batch)
                return
            if not again or self._ending or time.monotonic() + pause >= end:
                self._failed(len(batch), problem)
                return
            time.sleep(pause)
            pause *= 2

    def _failed(self, count: int, why: str, *, error: bool = False) -> None:
        self.outcomes["failed"] += count
        now = time.monotonic()
        if now - self._told >= QUIET:
            self._told = now
            log.warning("%d spans are lost: %s", count, why, exc_info=error)


class _Making:
    """Spans as the SDK has them, and the requests that carry them. Imported by a node that exports, and by no other."""

    def __init__(self, settings: Settings, node: str, environ: Mapping[str, str] = os.environ) -> None:
        import httpx2
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import status

        self._api, self._status, self._span, self._encode = trace, status, ReadableSpan, encode_spans
        self._url = _url(str(settings.otlp_endpoint))
        headers = settings.otlp_headers
        self._headers = {} if headers is None else named_values(headers.reveal())
        self._headers |= {"Content-Type": "application/x-protobuf"}
        self._gzip = _variable(environ, "COMPRESSION") == "gzip"
        if self._gzip:
            self._headers |= {"Content-Encoding": "gzip"}
        self._error = httpx2.HTTPError
        # No redirect is followed: a field may be a secret, and goes nowhere else.
        self._client = httpx2.Client(verify=_trust(environ), follow_redirects=False)
        attributes = {"service.name": settings.traces_service, "service.version": __version__}
        attributes |= {"service.instance.id": node} | named_values(",".join(settings.traces_attributes))
        self._resource = Resource.create(attributes)
        self._scope = InstrumentationScope("penstock", __version__)

    def encoded(self, batch: Sequence[Mapping[str, Any]]) -> bytes:
        body: bytes = self._encode([self.span(each) for each in batch]).SerializeToString()
        return gzip.compress(body, 6) if self._gzip else body

    def sent(self, body: bytes, timeout: float) -> tuple[str, bool]:
        """Why it was not taken, empty when it was; and whether it may be tried again (OTLP specification, OTLP/HTTP
        response)."""
        try:
            answer = self._client.post(self._url, content=body, headers=self._headers, timeout=timeout)
        except (self._error, OSError) as error:
            return f"{self._url} cannot be reached: {type(error).__name__}", True
        if answer.status_code == 200:
            return "", False
        return f"{self._url} answered {answer.status_code}", answer.status_code in AGAIN

    def close(self) -> None:
        self._client.close()

    def span(self, record: Mapping[str, Any]) -> ReadableSpan:
        api, status = self._api, self._status
        parent = record["parent"]
        attributes = {**record["attributes"]}
        told = status.Status(status.StatusCode.UNSET)
        if record["error"]:
            attributes["error.type"] = record["error"]
            told = status.Status(status.StatusCode.ERROR)
        return self._span(
            name=record["name"],
            context=self._context(record["trace"], record["span"], record["state"]),
            parent=self._context(record["trace"], parent) if parent else None,
            resource=self._resource,
            attributes=attributes,
            kind=api.SpanKind(record["kind"] - 1),
            instrumentation_scope=self._scope,
            status=told,
            start_time=record["began"],
            end_time=record["ended"],
            links=[api.Link(self._context(*each)) for each in record["links"]],
        )

    def _context(self, trace_id: str, span_id: str, state: str = "") -> Any:
        api = self._api
        return api.SpanContext(
            int(trace_id, 16),
            int(span_id, 16),
            is_remote=False,
            trace_flags=api.TraceFlags(api.TraceFlags.SAMPLED),
            trace_state=api.TraceState.from_header([state]) if state else None,
        )


def _url(endpoint: str) -> str:
    """The base URL's path for traces (OTLP specification, endpoint URLs for OTLP/HTTP), unless it is there."""
    return endpoint if endpoint.endswith(PATH) else endpoint + PATH


def _variable(environ: Mapping[str, str], name: str) -> str:
    """One of OpenTelemetry's for the exporter: that for traces before that for all."""
    return environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or environ.get(f"OTEL_EXPORTER_OTLP_{name}") or ""


def _trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The system's authorities, or those of a file; with a certificate of our own where there is one."""
    context = ssl.create_default_context(cafile=_variable(environ, "CERTIFICATE") or None)
    if certificate := _variable(environ, "CLIENT_CERTIFICATE"):
        context.load_cert_chain(certificate, _variable(environ, "CLIENT_KEY") or None)
    return context
