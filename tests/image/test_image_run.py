"""A container of the image: process 1, not root, a read-only root; asked over its own loopback."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.image.container import Container

Start = Callable[..., Container]
SHOP = "http://127.0.0.1:8080/shop"


@pytest.fixture
def node(start: Start) -> Container:
    container = start()
    container.until_printed("token  ")
    return container


def test_a_fresh_container_serves_and_tells_that_it_is_healthy(node: Container) -> None:
    node.until(lambda: bool(node.get("http://127.0.0.1:8080/-/live")[0] == 200))
    healthy = node.execute(*node.image.healthcheck)
    assert healthy.returncode == 0, healthy.stderr


def test_its_admin_rest_listens_on_loopback_alone(node: Container) -> None:
    context = json.loads((node.data / "context.json").read_text())
    assert context["url"] == "http://127.0.0.1:8081"
    assert "admin    http://127.0.0.1:8081" in node.printed()


def test_the_admin_rest_opened_to_the_cluster_is_still_asked_over_loopback(start: Start) -> None:
    node = start(PENSTOCK_ADMIN_HOST="0.0.0.0")
    node.until_printed("token  ")
    assert json.loads((node.data / "context.json").read_text())["url"] == "http://127.0.0.1:8081"
    assert node.execute("penstock", "health").returncode == 0


def test_process_1_is_the_supervisor_without_rights(node: Container) -> None:
    status = dict(re.findall(r"(\w+):\s+(.*)", node.execute("cat", "/proc/1/status").stdout))
    assert status["Uid"].split() == ["10001"] * 4
    assert (status["CapEff"], status["NoNewPrivs"]) == ("0" * 16, "1")


def test_it_writes_nowhere_but_to_data_and_tmp(node: Container) -> None:
    for place in ("/opt/penstock/x", "/etc/penstock/x", "/var/x", "/run/x"):
        assert "Read-only file system" in node.execute("touch", place).stderr
    assert node.execute("touch", "/tmp/x", "/data/x").returncode == 0


def test_process_1_waits_for_orphans(node: Container) -> None:
    """What nobody waits for stays a zombie."""
    pid = node.execute("sh", "-c", "sleep 0.2 >/dev/null & echo $!").stdout.strip()
    assert node.parent(pid) == "1"
    node.until(lambda: node.parent(pid) is None)


def test_sigterm_drains_and_ends_with_0(node: Container) -> None:
    assert node.stop() == 0


def test_sigterm_before_it_is_up_ends_it_too(start: Start) -> None:
    """The kernel drops a signal for process 1 that it has no handler for: it would be killed after the grace period."""
    node = start()
    node.until(node.handles_term)
    assert node.stop() in (0, 143)


def test_what_was_published_outlives_the_container(start: Start) -> None:
    first = start("demo")
    first.until_printed("A policy changed")
    folder = first.data
    key = re.search(r"X-API-KEY: (\S+)'", first.printed())
    assert key is not None
    assert first.get(f"{SHOP}/v2/orders/7", **{"X-API-KEY": key[1]})[0] == 200
    assert first.stop() == 0
    again = start("demo", at=folder)
    again.until_printed("A policy changed")
    assert again.get(f"{SHOP}/v2/orders/7", **{"X-API-KEY": key[1]})[0] == 200
    assert again.get(f"{SHOP}/v2/orders/7")[0] == 401


def test_other_commands_of_the_command_line_run_in_it(start: Start) -> None:
    version = start("--version")
    assert version.wait() == 0
    assert version.printed().startswith("penstock ")
