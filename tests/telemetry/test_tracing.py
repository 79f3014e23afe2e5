"""Trace context, sampling, and what a worker holds of spans."""

from __future__ import annotations

import pytest

from gateway.core.clock import ManualClock
from gateway.core.exchange import Exchange, Head, Reply
from gateway.core.memory_wire import MemoryWire
from gateway.core.otel_variables import NotDone, from_variables, unused
from gateway.core.settings import Settings
from gateway.core.trace import Parent, Trace, sampled
from gateway.telemetry.counters import render_prometheus
from gateway.telemetry.observer import Observer
from gateway.telemetry.text import wants_open
from gateway.telemetry.tracing import RING, SLICE, TIMED, Sampling, Tracer, parent_of
from tests.serving import cell

GOOD = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        GOOD + b"\n",
    ],
)
def test_what_is_no_traceparent_is_none(value: bytes) -> None:
    """W3C Trace Context, section 3.2"""
    assert Parent.parse(value) is None


def test_a_later_version_is_read_as_far_as_this_one_goes() -> None:
    assert Parent.parse(b"01" + GOOD[2:] + b"-more") is not None


def test_two_traceparents_are_none() -> None:
    assert parent_of(b"\r\ntraceparent: " + GOOD) is not None
    assert parent_of((b"\r\nTraceparent: " + GOOD) * 2) is None


def tracer(ratio: float = 0.0, believe: str = "any", chance: float = 0.5, trusted: bool = False) -> Tracer:
    sampling = Sampling(True, ratio, believe)  # type: ignore[arg-type]
    return Tracer(ManualClock(), sampling, lambda: chance, lambda _exchange: trusted)


async def traced(made: Tracer, *fields: tuple[bytes, bytes]) -> Trace | None:
    seen: list[Trace | None] = []

    def step(exchange: Exchange) -> Reply:
        seen.append(sampled(exchange.trace))
        return Reply(200)

    live = cell(step)
    made.watch(live)
    await MemoryWire.request(live, "GET", "/a", list(fields))
    return seen[0]


@pytest.mark.parametrize(
    ("believe", "flag", "trusted", "ratio", "is_traced"),
    [
        ("any", b"01", False, 0.0, True),
        ("any", b"00", False, 1.0, False),
        ("trusted", b"01", False, 0.0, False),
        ("trusted", b"01", True, 0.0, True),
        ("trusted", b"00", True, 1.0, False),
        ("none", b"01", True, 0.1, False),
        ("none", b"00", True, 1.0, True),
    ],
)
async def test_whose_decision_is_followed(
    believe: str, flag: bytes, trusted: bool, ratio: float, is_traced: bool
) -> None:
    found = await traced(tracer(ratio, believe, trusted=trusted), (b"traceparent", GOOD[:-2] + flag))
    assert (found is not None) == is_traced
    assert found is None or found.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_trace_begins_with_the_ratio() -> None:
    assert await traced(tracer(0.6, chance=0.5)) is not None
    assert await traced(tracer(0.4, chance=0.5)) is None


async def test_one_exchange_out_of_many_has_its_steps_timed() -> None:
    clock = ManualClock()

    def step(_exchange: Exchange) -> Reply:
        clock.advance(0.25)
        return Reply(200)

    live = cell(step, names=("slow",), facts={"component": "shop", "version": "v1"})
    made = Tracer(clock)
    observer = Observer(None, clock, made)
    live.clock, live.observe = clock, observer.observe
    made.watch(live)
    for _ in range(2 * TIMED):
        await MemoryWire.request(live, "GET", "/a")
    page = render_prometheus([observer.snapshot()]).decode()
    named = 'component="shop",version="v1",step="slow"'
    assert f"penstock_step_seconds_sum{{{named}}} 0.5\n" in page
    assert f"penstock_step_seconds_count{{{named}}} 2\n" in page


async def test_a_ring_that_is_full_drops_and_counts() -> None:
    made = tracer(1.0)
    live = cell(lambda _exchange: Reply(200))
    live.observe = Observer(None, ManualClock(), made).observe
    made.watch(live)
    for _ in range(RING + 10):
        await MemoryWire.request(live, "GET", "/a")
    assert (made.made, made.dropped) == (RING, 10)
    assert len(made.take()) == SLICE


async def test_no_span_has_a_query() -> None:
    made = tracer(1.0)
    live = cell(lambda _exchange: Reply(200))
    live.observe = Observer(None, ManualClock(), made).observe
    made.watch(live)
    await MemoryWire.request(live, "GET", "/a?key=hush", [(b"X-Api-Key", b"hush"), (b"Cookie", b"hush")])
    assert "hush" not in repr(made.take())


def test_an_edge_without_tracing_looks_at_one_exchange_in_many() -> None:
    live = cell(lambda _exchange: Reply(200))
    Tracer(ManualClock()).watch(live)
    assert live.due == TIMED - 1


@pytest.mark.parametrize(
    ("environ", "settings"),
    [
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SERVICE_NAME": "edge"},
            {"otlp_endpoint": "http://c:4318", "traces_service": "edge"},
        ),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "2500"}, {"otlp_timeout": 2.5}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=1, b=2"}, {"traces_attributes": ("a=1", "b=2")}),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            {"traces_parent": "any", "traces_ratio": "0.25"},
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, {}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {}),
    ],
)
def test_standard_variables_are_settings(environ: dict[str, str], settings: dict[str, object]) -> None:
    assert from_variables(environ)[0] == settings
    Settings.model_validate(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_PROPAGATORS", "b3"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
    ],
)
def test_what_a_standard_variable_asks_for_and_is_not_done_is_refused(name: str, value: str) -> None:
    with pytest.raises(NotDone, match=name):
        from_variables({name: value})


def test_variables_that_say_nothing_here_are_named() -> None:
    assert unused({"OTEL_PYTHON_LOG_LEVEL": "info", "OTEL_SERVICE_NAME": "x", "PATH": "/"}) == ["OTEL_PYTHON_LOG_LEVEL"]


@pytest.mark.parametrize("endpoint", ["ftp://c", "http://", "http://user:hush@c:4318", "http://c?x=1"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="otlp_endpoint") as refused:
        Settings(otlp_endpoint=endpoint)
    assert "hush" not in str(refused.value.errors(include_input=False))  # type: ignore[attr-defined]


def test_fields_that_are_none_are_refused_without_showing_them() -> None:
    with pytest.raises(ValueError, match="part 2 is not NAME=VALUE") as refused:
        Settings.model_validate({"otlp_headers": "a=1,hush"})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("accept", "open_metrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0", True),
        ("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.5", True),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
    ],
)
def test_openmetrics_is_chosen_by_accept(accept: str, open_metrics: bool) -> None:
    assert wants_open(accept) == open_metrics


def test_a_head_is_looked_at_once_for_a_connection() -> None:
    made = tracer()
    memo: dict[object, object] = {}
    first = Head(b"GET", b"/", block=b"\r\ntraceparent: " + GOOD, memo=memo)
    exchange = Exchange("1", first, None, cell().current.any)  # type: ignore[arg-type,attr-defined]
    assert made._parent(exchange) is made._parent(exchange)
