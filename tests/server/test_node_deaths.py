"""Whatever dies in a node is replaced, and nothing that was acknowledged is lost (CASES A62, Q74, Q76)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from gateway.store.connect import open_store
from gateway.store.store import KEYS, Write
from tests.server.conftest import Shop
from tests.server.nodes import Node, alive, gone, kill, until


def healthy(node: Node) -> bool:
    health = node.health()
    return bool(health["ready"] and health["store"] == "up" and health.get("workers") == node.workers)


def recovered(node: Node, *old: int) -> None:
    """These have ended, their successors serve, and nobody is left unburied."""
    gone(*old)
    until(lambda: healthy(node), "the node is whole again")
    until(lambda: not node.zombies(), "no zombie is left")


def test_a_killed_worker_is_replaced_while_requests_go_on(shop: Shop) -> None:
    node = shop.node
    first, second = node.workers_pids()
    kill(first)
    answers = [node.get("/shop/v1/who", shop.key) for _ in range(20)]
    assert {each.status_code for each in answers} == {200}
    recovered(node, first)
    (successor,) = set(node.workers_pids()) - {first, second}
    until(lambda: node.get("/shop/v1/who", shop.key).json() == successor, "the successor answers")


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_replacing_children_leaks_no_descriptor_of_the_supervisor(shop: Shop) -> None:
    node = shop.node
    until(lambda: healthy(node), "the node is whole")
    before = descriptors(node.process.pid)
    for _ in range(2):
        old = [node.workers_pids()[0], node.control_pid()]
        kill(*old)
        recovered(node, *old)
    until(lambda: descriptors(node.process.pid) <= before, "what belonged to the dead is closed")


def test_a_stuck_worker_is_killed_and_replaced(shop: Shop) -> None:
    node = shop.node
    stuck = node.workers_pids()[0]
    os.kill(stuck, signal.SIGSTOP)
    recovered(node, stuck)
    assert node.logged(f"(pid {stuck}) hangs; it is replaced")
    assert node.get("/shop/v1/who", shop.key).status_code == 200


def test_a_killed_control_process_is_replaced_while_requests_go_on(shop: Shop) -> None:
    node = shop.node
    later = node.key("before-the-kill")
    old = node.control_pid()
    kill(old)
    gone(old)
    assert [node.get("/shop/v1/who", shop.key).status_code for _ in range(10)] == [200] * 10
    recovered(node, old)
    assert node.get("/shop/v1/who", later).status_code == 200
    assert node.admin("GET", "/versions").json()["items"][0]["name"] == "shop@v1"
    assert node.get("/shop/v1/who", node.key("after-the-kill")).status_code == 200


def test_a_killed_embedded_store_is_replaced_and_has_lost_nothing(shop: Shop) -> None:
    node = shop.node
    made = node.key("before-the-store-died")
    accepted = node.order(shop.key, 501)
    assert accepted.status_code == 202
    old = node.store_pid()
    kill(old)
    assert node.get("/shop/v1/who", shop.key).status_code == 200
    recovered(node, old)
    assert node.get("/shop/v1/who", made).status_code == 200
    assert "before-the-store-died" in [each["name"] for each in node.admin("GET", "/applications").json()["items"]]
    until(lambda: node.noted("bill-501.done"), "the message was delivered")


def test_a_message_accepted_before_all_workers_died_is_delivered_after(shop: Shop) -> None:
    """CASES Q74. The first of two messages keeps the listener busy, so the second has not been read yet."""
    node = shop.node
    for id in range(601, 605):
        (node.files / f"bill-{id}.closed").touch()
        assert node.order(shop.key, id).status_code == 202
    until(lambda: sum(node.noted(f"bill-{id}.entered") for id in range(601, 605)) == 2, "both listeners are busy")
    waiting = [id for id in range(601, 605) if not node.noted(f"bill-{id}.entered")]
    workers = node.workers_pids()
    kill(*workers)
    for id in range(601, 605):
        (node.files / f"bill-{id}.closed").unlink()
    recovered(node, *workers)
    for id in waiting:
        until(lambda id=id: node.noted(f"bill-{id}.done"), f"message {id} was delivered")  # type: ignore[misc]


@pytest.mark.soak
def test_a_message_that_a_killed_worker_had_taken_comes_again_when_its_lease_is_over(shop: Shop) -> None:
    """CASES Q75: the lease is 15 s."""
    node = shop.node
    (node.files / "bill-701.closed").touch()
    assert node.order(shop.key, 701).status_code == 202
    until(lambda: node.noted("bill-701.entered"), "it was taken")
    (node.files / "bill-701.entered").unlink()
    workers = node.workers_pids()
    kill(*workers)
    (node.files / "bill-701.closed").unlink()
    recovered(node, *workers)
    until(lambda: node.noted("bill-701.done"), "it came again")


def test_children_of_a_killed_supervisor_end_and_the_next_start_finds_its_data(tmp_path: Path) -> None:
    with Node(tmp_path, "--processes", "node_processes") as node:
        node.start()
        node.publish_shop()
        key = node.key()
        children = node.pids()
        assert len(children) == 4
        kill(node.process.pid)
        assert node.ended() == -signal.SIGKILL
        port = node.url.rpartition(":")[2]
        node.launch("--port", port, "--admin-port", "0")
        until(lambda: node.get("/shop/v1/who", key).status_code == 200, "it serves on the same port")
        gone(*children)
        assert all(alive(pid) for pid in node.pids())


async def test_a_worker_without_its_control_process_goes_on_and_follows_the_next(shop: Shop) -> None:
    """A key that is revoked while nobody can tell the workers is refused once the next control process is there."""
    node = shop.node
    key = node.key("revoked-later")
    until(lambda: node.get("/shop/v1/who", key).status_code == 200, "the key opens the shop")
    (id,) = [each["id"] for each in node.admin("GET", "/keys?application=revoked-later").json()["items"]]
    old = node.control_pid()
    os.kill(old, signal.SIGSTOP)
    store = open_store(node.store_url)
    await store.commit([Write(KEYS, id, None)])
    await store.close()
    assert node.get("/shop/v1/who", key).status_code == 200
    kill(old)
    recovered(node, old)
    assert {node.get("/shop/v1/who", key).status_code for _ in range(8)} == {401}
