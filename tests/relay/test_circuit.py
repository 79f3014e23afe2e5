"""The circuit breaker, as a rule over time (CASES A59)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.relay.circuit import CLOSED, HALF_OPEN, OPEN, Circuit
from gateway.relay.settings import Breaking


def run(circuit: Circuit, failed: bool | None, now: float) -> None:
    assert circuit.admits(now)
    circuit.ended(circuit.enter(), failed, now)


def test_a59_it_opens_at_the_nth_failure_in_a_row() -> None:
    circuit = Circuit(Breaking(failures=3))
    for failed in (True, True, False, True, True):
        run(circuit, failed, 0)
    assert circuit.state == CLOSED
    run(circuit, True, 0)
    assert circuit.state == OPEN
    assert not circuit.admits(29.9)
    assert circuit.retry_after(0) == 30


def test_a59_half_open_admits_exactly_one_and_closes_on_its_success() -> None:
    circuit = Circuit(Breaking(failures=1))
    run(circuit, True, 0)
    assert circuit.admits(30)
    probe = circuit.enter()
    assert not any(circuit.admits(31) for _ in range(100))
    circuit.ended(probe, False, 31)
    assert circuit.state == CLOSED
    assert circuit.admits(31)


def test_a59_a_failed_probe_opens_it_again() -> None:
    circuit = Circuit(Breaking(failures=1))
    run(circuit, True, 0)
    run(circuit, True, 30)
    assert circuit.state == OPEN
    assert not circuit.admits(59)
    assert circuit.admits(60)


def test_a_probe_that_is_withdrawn_lets_the_next_one_through() -> None:
    circuit = Circuit(Breaking(failures=1))
    run(circuit, True, 0)
    run(circuit, None, 30)
    assert circuit.state == HALF_OPEN
    assert circuit.admits(30)


def test_what_began_before_the_circuit_changed_says_nothing_after_it() -> None:
    circuit = Circuit(Breaking(failures=1))
    slow = [circuit.enter() for _ in range(3)]
    run(circuit, True, 0)
    assert circuit.admits(30)
    probe = circuit.enter()
    for token in slow:
        circuit.ended(token, False, 30)
    assert circuit.state == HALF_OPEN
    circuit.ended(probe, False, 30)
    assert circuit.state == CLOSED


def test_it_opens_at_a_rate_over_enough_calls() -> None:
    circuit = Circuit(Breaking(failures=0, rate=0.5, calls=10, window=10))
    for number in range(9):
        run(circuit, number % 2 == 0, 0)
    assert circuit.state == CLOSED
    run(circuit, False, 0)
    assert circuit.state == OPEN


def test_a_rate_forgets_what_left_the_window() -> None:
    circuit = Circuit(Breaking(failures=0, rate=0.5, calls=4, window=10))
    for now in (0, 1, 2):
        run(circuit, True, now)
    for now in (11.5, 12.5, 13.5):
        run(circuit, False, now)
    run(circuit, True, 14)
    assert circuit.state == CLOSED


def test_a59_a_thousand_cycles_leave_it_as_it_was() -> None:
    circuit = Circuit(Breaking(failures=2))
    now = 0.0
    for _ in range(1000):
        run(circuit, True, now)
        run(circuit, True, now)
        now += 30
        run(circuit, False, now)
    assert circuit.state == CLOSED
    assert circuit.opened == 1000
    run(circuit, True, now)
    assert circuit.state == CLOSED


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.floats(0, 40)), max_size=80))
def test_it_never_admits_two_while_half_open(steps: list[tuple[bool | None, float]]) -> None:
    circuit = Circuit(Breaking(failures=2, rate=0.5, calls=4))
    now = 0.0
    for failed, passed in steps:
        now += passed
        if not circuit.admits(now):
            assert circuit.state == OPEN
            continue
        token = circuit.enter()
        if circuit.state == HALF_OPEN:
            assert not circuit.admits(now)
        circuit.ended(token, failed, now)
