"""What the clients of the bench tell: wrk's line, and the paced load's latencies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks import load, wrk
from benchmarks.messages import PATHS, POST, VARIED, Message

LINE = (
    '{"requests":3000,"duration":2000000,"bytes":9,"p50":250,"p99":1500,"most":9000,'
    '"status":2,"connect":0,"read":1,"write":0,"timeout":0}'
)


def test_wrk_times_become_milliseconds_and_a_rate() -> None:
    told = wrk.parse(f"Running 2s test\n{LINE}\n")
    assert (told.rate, told.p50, told.p99, told.most) == (1500.0, 0.25, 1.5, 9.0)


def test_wrk_counts_refusals_and_broken_connections_as_wrong() -> None:
    assert wrk.parse(LINE).wrong == 3


def test_wrk_that_tells_nothing_is_an_error_with_its_words() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_message_with_a_body_has_its_length() -> None:
    head, _, body = POST.raw().partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d" % len(body) in head


def test_varied_requests_differ_in_path_key_and_trace() -> None:
    raws = VARIED.raws()
    heads = [raw.split(b"\r\n") for raw in raws[:3]]
    for named in (b"GET ", b"X-API-KEY: ", b"traceparent: "):
        assert len({line for head in heads for line in head if line.startswith(named)}) == 3
    assert len(set(raws)) == len(raws)


def test_other_paths_leave_the_header_fields_as_they_are() -> None:
    blocks = {raw.partition(b"\r\n")[2] for raw in PATHS.raws()}
    assert len(blocks) == 1


def test_requests_are_due_at_the_rate_whenever_one_looks() -> None:
    pace = load.Pace(rate=10.0, seconds=1.0, began=100.0)
    assert pace.due(100.25) == pytest.approx([100.0, 100.1, 100.2])
    assert len(pace.due(200.0)) == 7


def test_nothing_is_due_after_a_stop() -> None:
    pace = load.Pace(rate=10.0, seconds=1.0, began=0.0)
    pace.stop()
    assert pace.due(5.0) == []


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert load.percentile([], 0.99) == 0.0


def test_a_percentile_is_a_value_that_occurred() -> None:
    assert load.percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0


@contextmanager
def answering(*replies: bytes) -> Iterator[int]:
    """The port of a server that gives each request on a connection the next of these replies, then closes it."""

    def serve(connection: socket.socket) -> None:
        with connection:
            for reply in replies:
                if not connection.recv(65536):
                    return
                connection.sendall(reply)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
BAD = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def loaded(port: int, count: int) -> load.Client:
    """A client that sent so many requests over one connection, all due by now."""
    client = load.Client(port, Message("/").raw(), connections=1, clock=lambda: 100.0)
    client.run(load.Pace(rate=1.0, seconds=count, began=100.0 - count))
    client.close()
    return client


def test_a_paced_load_counts_what_was_answered() -> None:
    with answering(*[OK] * 20) as port:
        client = loaded(port, 20)
    assert (len(client.latencies), client.wrong) == (20, 0)


def test_a_latency_counts_from_when_the_request_was_due() -> None:
    with answering(*[OK] * 3) as port:
        client = loaded(port, 3)
    assert client.latencies == [3.0, 2.0, 1.0], "the clock stands still: none of it passed after it was sent"


def test_a_paced_load_counts_refusals_and_lost_connections() -> None:
    with answering(BAD) as port:  # the second request of a connection finds it closed
        client = loaded(port, 2)
    assert (len(client.latencies), client.wrong) == (1, 2)
