"""A message's way: accepted over REST, delivered by a listener, or a dead letter that is redriven."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.e2e.gateway_client import Node

T = TypeVar("T")
EVENTS = "/shop/v2/order-events"
DEAD = "/topics/order-events/dead-letters"


def eventually(look: Callable[[], T | None]) -> T:
    """What `look` finds once it finds something; asked again and again for up to 20 s."""
    deadline = time.monotonic() + 20
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


def state_of(node: Node, key: str, location: str, wanted: str) -> dict[str, object]:
    def look() -> dict[str, object] | None:
        answer = node.call("GET", location, key)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.json()["state"] == wanted else None

    return eventually(look)


def dead_letters(node: Node) -> list[dict[str, object]]:
    """All of them, page by page."""
    found: list[dict[str, object]] = []
    path = f"{DEAD}?limit=2"
    while path:
        answer = node.administer("GET", path)
        found += answer.json()["items"]
        path = answer.links.get("next", {}).get("url", "").removeprefix("/admin/v1")
    return found


def test_a_message_is_accepted_at_once_and_delivered(node: Node, key: str) -> None:
    """DESIGN 7: 202 and a status URL; the listener runs the same typed call."""
    answer = node.call("POST", EVENTS, key, json={"id": 11})
    assert answer.status_code == 202
    id = answer.json()["id"]
    assert answer.json() == {"id": id, "topic": "order-events"}
    location = answer.headers["Location"]
    assert location == f"{EVENTS}/{id}"
    told = state_of(node, key, location, "delivered")
    assert (told["id"], told["topic"]) == (id, "order-events")
    assert told["listeners"] == [{"listener": "shop@v2/bill_order", "state": "delivered"}]
    assert len(node.sql("SELECT * FROM invoices WHERE order_id = 11")) == 1


def test_a_second_message_for_the_same_order_bills_it_once(node: Node, key: str) -> None:
    for _ in range(2):
        location = node.call("POST", EVENTS, key, json={"id": 12}).headers["Location"]
        state_of(node, key, location, "delivered")
    assert len(node.sql("SELECT * FROM invoices WHERE order_id = 12")) == 1


def test_a_message_that_does_not_fit_the_topic_is_refused(node: Node, key: str) -> None:
    for wrong in ({"id": "x"}, {}, {"id": 1, "more": 2}, [], None):
        answer = node.call("POST", EVENTS, key, json=wrong)
        assert answer.status_code == 400, wrong
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_id_that_was_never_given_out_is_not_found(node: Node, key: str) -> None:
    assert node.call("GET", f"{EVENTS}/nonsense", key).status_code == 404


def test_a_poison_message_is_a_dead_letter_with_its_reason_and_can_be_redriven(node: Node, key: str) -> None:
    """PROTOCOLS B: dead-letter reason, count, redrive. The order appears between the two tries."""
    order = 1_000_001
    answer = node.call("POST", EVENTS, key, json={"id": order})
    location, id = answer.headers["Location"], answer.json()["id"]
    state_of(node, key, location, "dead")
    letter = next(each for each in dead_letters(node) if each["origin"] == id)
    assert (letter["reason"], letter["attempts"]) == ("OrderNotFound", 3)
    assert f"There is no order {order}." in letter["error"]
    place = "INSERT INTO orders VALUES (?, 1, '2026-01-01 00:00:00.000000', 'open', '1.00', NULL)"
    node.write(place, order)
    again = node.administer("POST", f"{DEAD}/{letter['listener']}/{letter['id']}/redrive").json()["id"]
    state_of(node, key, f"{EVENTS}/{again}", "delivered")
    assert id not in [each["origin"] for each in dead_letters(node)]
    assert len(node.sql("SELECT * FROM invoices WHERE order_id = ?", order)) == 1
