"""The disaster drill: the commands of docs/guide/disaster.md, as they stand there, on a real store and two nodes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.server.keepalive import Clients
from tests.server.nodes import ROOT, ask, until
from tests.server.own_store import Store
from tests.servers import free_port

PAGE: Final = ROOT / "docs" / "guide" / "disaster.md"
SHOP: Final = """
kind: ApiComponent
name: shop
version: v1
base_path: /shop/{{version}}
operations:
  greet: {{effect: safe, output: string, fixed: {text}}}
policies: [{{id: keys, use: api-key}}]
rest: {{GET /greet: greet}}
"""
LONG: Final = 60.0


def blocks(title: str) -> list[list[str]]:
    """The lines of each shell block of a section."""
    section = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    found = [text.strip().splitlines() for text in re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)]
    assert found, f"{title} has no commands"
    return found


class Drill:
    """Two nodes on a store, and a shell in a folder of its own."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.ports = {name: (free_port(), free_port()) for name in ("gw-1", "gw-2")}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            "STORE": store.url,
            "PENSTOCK_URL": f"http://127.0.0.1:{self.ports['gw-1'][1]}",
            "PENSTOCK_TOKEN": "pt_of-everybody-on-this-store",
            "PENSTOCK_KEY_SECRET": "one-secret-for-the-whole-cluster",
            "PENSTOCK_DRAIN_DELAY": "0",
        }
        (folder / "passphrase").write_text("correct horse battery staple\n")
        self.key = ""

    # the page

    def follow(self, title: str, ids: str = "") -> str:
        """Runs every command of a section in one shell, but for `serve`, which goes on by itself. What was printed.
        `ids`: what an id on the page stands for."""
        told, script = "", list[str]()
        for line in [re.sub(r"t-0123456789abcdef", ids, line) for block in blocks(title) for line in block]:
            if "penstock serve" in line:
                told += self.shell(script)
                script = [each for each in script if each.startswith("export ")]
                self.serve(line)
            else:
                script.append(line)
        return told + self.shell(script)

    def shell(self, lines: list[str]) -> str:
        """`export` lasts beyond it, as in the operator's own."""
        script = "\n".join(["set -euo pipefail", *lines, "env -0 > .environment"])
        ran = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=LONG
        )
        assert ran.returncode == 0, f"{lines}\n{ran.stdout}{ran.stderr}{self.logs()}"
        for each in (self.folder / ".environment").read_bytes().split(b"\0"):
            name, _, value = each.decode().partition("=")
            if name.startswith("PENSTOCK_"):
                self.environment[name] = value
        return ran.stdout

    def serve(self, line: str, store: str = "up$") -> None:
        """Until the node listens; `store` is what it tells of its store."""
        found = re.search(r"--node (\S+)", line)
        assert found, line
        name = found[1]
        port, admin = self.ports[name]
        environment = self.environment | {"PENSTOCK_PORT": str(port), "PENSTOCK_ADMIN_PORT": str(admin)}
        if name in self.running:
            self.end(name)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                ["bash", "-c", line], cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        until(lambda: re.search(store, self.health(name).get("store", "")), f"{name} is there")
        until(lambda: ask("GET", f"http://127.0.0.1:{port}/-/live").status_code == 200, f"{name} listens")

    # what happens to it

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        process = self.running.pop(name)
        os.killpg(process.pid, number)
        process.wait(LONG)

    def close(self) -> None:
        for name in list(self.running):
            self.end(name)

    def logs(self, name: str = "*") -> str:
        return "".join(path.read_text()[-2000:] for path in self.folder.glob(f"{name}.log"))

    # what is seen of it

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name][0]}"

    def health(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = ask("GET", f"http://127.0.0.1:{self.ports[name][1]}/admin/v1/health").json()
        return found

    def greets(self, name: str, key: str = "") -> tuple[int, str]:
        answer = ask("GET", f"{self.url(name)}/shop/v1/greet", headers={"X-API-KEY": key or self.key})
        return answer.status_code, answer.text.strip('"') if answer.status_code == 200 else ""

    def both_greet(self, text: str = "hello", key: str = "") -> None:
        for name in self.running:
            until(lambda name=name: self.greets(name, key) == (200, text), f"{name} greets")  # type: ignore[misc]

    def publish(self, text: str) -> None:
        (self.folder / "shop.yaml").write_text(SHOP.format(text=text))
        self.shell(["penstock publish shop.yaml"])

    def up(self) -> Drill:
        first = "PENSTOCK_ADMIN_TOKEN=pt_of-everybody-on-this-store"
        for name in ("gw-1", "gw-2"):
            self.serve(f'{first} penstock serve --store "$STORE" --node {name} --data {name}')
        self.publish("hello")
        made = self.shell(["penstock apps create partner", "penstock keys create --app partner --api shop --json"])
        self.key = re.findall(r'"key": "(pk_[^"]+)"', made)[0]
        self.both_greet()
        return self


@contextlib.contextmanager
def drill(folder: Path) -> Iterator[Drill]:
    with tempfile.TemporaryDirectory(prefix="ps-") as place:
        store = Store(Path(place))
        made = Drill(folder, store)
        try:
            yield made.up()
        finally:
            made.close()
            store.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """Each test of it leaves two nodes that greet, and a backup."""
    with drill(tmp_path_factory.mktemp("drill")) as made:
        made.follow("Before")
        yield made


def test_a_backup_is_taken_and_tried(shared: Drill) -> None:
    """Before an upgrade, too."""
    (upgrading,) = re.findall(r"^```sh\n(.*?)^```", (PAGE.parent / "upgrade.md").read_text(), re.M | re.S)
    assert "gw-2" in shared.shell(upgrading.splitlines())
    told = shared.follow("Before")
    assert "Nothing was written." in told
    assert (shared.folder / "shop.backup").read_bytes().startswith(b"penstock-encrypted")


def test_the_store_is_lost_and_restored_while_every_request_is_answered(shared: Drill) -> None:
    """One of the nodes is restarted before the store has anything again, and writes its first token into it."""
    request = f"GET /shop/v1/greet HTTP/1.1\r\nHost: shop\r\nX-API-KEY: {shared.key}\r\n\r\n".encode()
    with Clients(shared.url("gw-1"), {request: {200}}, 2) as clients:
        shared.store.stop()
        for each in Path(shared.store._folder).iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        shared.store.start()
        until(lambda: "it has lost its data" in shared.logs("gw-1"), "a node says what it sees")
        first = "PENSTOCK_ADMIN_TOKEN=pt_another-first-token"
        shared.serve(f'{first} penstock serve --store "$STORE" --node gw-2 --data gw-2', store="it has lost its data")
        shared.both_greet()
        told = shared.follow("The store is lost")
        for name in shared.running:
            until(lambda name=name: serves_what_was_restored(shared, name), f"{name} loads it")  # type: ignore[misc]
        clients.answered(10)
    assert "gw-1" in told
    assert clients.tally.failed == []
    shared.publish("hello again")
    shared.both_greet("hello again")
    shared.publish("hello")
    shared.both_greet()


def serves_what_was_restored(drill: Drill, name: str) -> bool:
    told = drill.shell(["penstock nodes --json"])
    return bool(re.search(rf'"name": "{name}"', told)) and not re.search(r'"serving": \d{1,6},', told)


def test_a_node_that_is_lost_is_replaced(shared: Drill) -> None:
    shared.end("gw-2", signal.SIGKILL)
    shutil.rmtree(shared.folder / "gw-2", ignore_errors=True)
    assert shared.greets("gw-1") == (200, "hello")
    told = shared.follow("A node is lost")
    assert {"gw-1", "gw-2"} <= set(told.split())
    shared.both_greet()


def test_a_bad_publish_is_taken_back_on_both_nodes(shared: Drill) -> None:
    shared.publish("nonsense")
    shared.both_greet("nonsense")
    assert "rollback" in shared.follow("A publish was bad")
    shared.both_greet()


def test_a_lost_admin_token_is_replaced_and_revoked(tmp_path: Path) -> None:
    with drill(tmp_path) as made:
        listed = made.shell(["penstock tokens list --json"])
        (old,) = re.findall(r"t-[0-9a-f]{16}", listed)
        lost = made.environment.pop("PENSTOCK_TOKEN")
        made.follow("The admin token is lost", ids=old)
        made.both_greet()
        answer = ask(
            "GET", f"{made.environment['PENSTOCK_URL']}/admin/v1/tokens", headers={"Authorization": f"Bearer {lost}"}
        )
        assert answer.status_code == 401
        the_key_secret_is_lost(made)


def the_key_secret_is_lost(made: Drill) -> None:
    """Behind the other, on the same two nodes: each start costs seconds."""
    old = made.key
    made.close()
    del made.environment["PENSTOCK_KEY_SECRET"]
    told = made.follow("The key secret is lost")
    (key,) = re.findall(r"pk_[\w-]+", told)
    made.both_greet(key=key)
    assert made.greets("gw-1", old)[0] == 401


def test_a_full_store_is_backed_up_and_goes_on_when_there_is_room(shared: Drill) -> None:
    shared.store.tell("CONFIG", "SET", "maxmemory", "1")
    try:
        refused = ask(
            "POST",
            f"{shared.environment['PENSTOCK_URL']}/admin/v1/applications",
            json={"name": "other"},
            headers={"Authorization": f"Bearer {shared.environment['PENSTOCK_TOKEN']}"},
        )
        assert refused.status_code == 503
        shared.follow("A disk is full")
        shared.both_greet()
    finally:
        shared.store.tell("CONFIG", "SET", "maxmemory", "0")
    shared.shell(["penstock restore now.backup --replace --dry-run", "penstock apps create another"])


def test_every_section_with_commands_is_drilled_here() -> None:
    titles = re.findall(r"^## (.+)$", PAGE.read_text(), re.M)
    source = Path(__file__).read_text()
    assert [title for title in titles if f'follow("{title}"' not in source] == []
