"""Spans of a node's workers on their way to a collector, by OTLP over HTTP: a thread of the control process, so that
one that is down, slow or refuses never slows anything. What waits is bounded; the newest are dropped, and counted."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway import __version__
from gateway.core.settings import Settings, named_values

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

log: Final = logging.getLogger("gateway.traces")

WAITING: Final = 8192  # spans
BATCH: Final = 512  # of them in one request
QUIET: Final = 60.0  # seconds between two lines of the log about a collector that takes nothing
END: Final = 2.0  # seconds that the rest has when the node ends
PATH: Final = "/v1/traces"


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
        self._exporter: SpanExporter | None = None
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
        if self._exporter is not None:
            self._exporter.shutdown()

    def samples(self) -> dict[str, list[list[Any]]]:
        outcomes = {"exported": 0, "failed": 0, "dropped by the node": 0, **self.outcomes}
        return {"penstock_spans_total": [[outcome, count] for outcome, count in outcomes.items()]}

    # the thread

    def _run(self) -> None:
        made = _Making(self._settings, self._node)
        self._exporter = made.exporter
        while batch := self._next():
            try:
                self._send(made, batch)
            except Exception:
                self._failed(len(batch), "the exporter failed", error=True)

    def _next(self) -> list[Mapping[str, Any]]:
        """Empty at the end."""
        with self._there:
            while not self._waiting and not self._ending:
                self._there.wait()
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _send(self, made: _Making, batch: Sequence[Mapping[str, Any]]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        if made.exporter.export([made.span(each) for each in batch]) is SpanExportResult.SUCCESS:
            self.outcomes["exported"] += len(batch)
        else:
            self._failed(len(batch), f"{self._settings.otlp_endpoint} did not take them")

    def _failed(self, count: int, why: str, *, error: bool = False) -> None:
        self.outcomes["failed"] += count
        now = time.monotonic()
        if now - self._told >= QUIET:
            self._told = now
            log.warning("%d spans are lost: %s", count, why, exc_info=error)


class _Making:
    """Spans as the SDK has them. Imported by a node that exports, and by no other."""

    def __init__(self, settings: Settings, node: str) -> None:
        import requests
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import status

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # each try of each batch; and what it was told
        headers = settings.otlp_headers
        session = requests.Session()
        session.max_redirects = 0  # a field may be a secret, and goes nowhere else
        self.exporter: SpanExporter = OTLPSpanExporter(
            endpoint=_url(str(settings.otlp_endpoint)),
            headers={} if headers is None else named_values(headers.reveal()),
            timeout=settings.otlp_timeout,
            session=session,
        )
        self._api, self._status, self._span = trace, status, ReadableSpan
        attributes = {"service.name": settings.traces_service, "service.version": __version__}
        attributes |= {"service.instance.id": node} | named_values(",".join(settings.traces_attributes))
        self._resource = Resource.create(attributes)
        self._scope = InstrumentationScope("penstock", __version__)

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
