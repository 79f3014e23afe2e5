"""What the peers are given is equal work; the twin is a whole worker."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from benchmarks import instructions, memory_transports, messages, scale, twin
from benchmarks.messages import key_list
from benchmarks.peers.peer import CONF, Site
from benchmarks.peers.penstock import keys
from gateway.manifest.loading import load_text


def test_the_limit_of_the_peers_is_exact(valkey: str) -> None:
    client = redis.Redis.from_url(valkey)
    limit = client.register_script((CONF / "gcra.lua").read_text())
    told = [limit(keys=["bench-limit"], args=[60_000_000, 3]) for _ in range(4)]
    assert [(allowed, left) for allowed, left, _ in told] == [(1, 2), (1, 1), (1, 0), (0, 0)]


def test_a_file_of_settings_is_filled_in(tmp_path: Path) -> None:
    text = Site(tmp_path, 4711).write("haproxy.cfg", "haproxy.cfg", port=4712).read_text()
    assert "bind 127.0.0.1:4712" in text
    assert "server up 127.0.0.1:4711" in text


def test_a_name_that_nothing_fills_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="port"):
        Site(tmp_path, 1).write("haproxy.cfg", "haproxy.cfg")


def test_the_key_of_the_load_opens_the_first_api() -> None:
    written = [write for write in keys(3, ["c50", "c0"]) if write.table == "keys"]
    assert key_list(3)[0] == messages.KEY
    assert [write.value["api"] for write in written if write.value] == ["c50", "c0", "c50"]


def test_the_many_versions_are_documents_with_ten_routes_each() -> None:
    (loaded,) = load_text(scale.document("c1", "v2"), "c1.yaml")
    assert len(loaded.document.rest) == 10  # type: ignore[union-attr]


def test_commands_in_one_write_are_counted() -> None:
    one = b"*2\r\n$3\r\nGET\r\n$4\r\n*1\r\n\r\n"  # an argument that looks like a command
    assert memory_transports._commands(one * 3) == 3


def test_the_twin_serves_every_row_and_tells_what_it_costs() -> None:
    async def measure(worker: twin.Twin) -> dict[str, twin.Cost]:
        return {name: await twin.cost(worker, message, 1, 2) for name, message in twin.ROWS.items()}

    costs = twin.with_twin(measure, connections=2)
    assert costs.keys() == twin.ROWS.keys()
    assert all(each.total > 0 for each in costs.values())
    assert costs["key-limit"].stages[1] > costs["open"].stages[1], "only the limit asks the store"


def test_instructions_are_counted_by_function() -> None:
    async def measure(worker: twin.Twin) -> instructions.Counted:
        return await instructions.count(worker, "open", turns=2)

    counted = twin.with_twin(measure, connections=2)
    total, calls, c_calls = instructions.summary(counted)
    assert total > calls > 10
    assert c_calls > 10
    assert not any(code.co_filename in instructions.OWN for code in counted.instructions)
