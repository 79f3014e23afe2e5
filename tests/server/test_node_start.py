"""What an operator sees at a node's start, and what a wrong start says."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.listening import joined
from gateway.server.probe import local
from tests.server.conftest import Shop
from tests.server.nodes import SHOP, TOPIC, Node, kill, rules, until


def failed(node: Node) -> str:
    """The standard error of a node that does not start; it must end with 1."""
    assert node.ended() == 1, node.log.read_text()
    return node.log.read_text()


def test_the_context_is_for_its_owner_only_and_the_first_token_is_printed_once(tmp_path: Path) -> None:
    with Node(tmp_path, workers=1) as node:
        node.start()
        printed = node.line(r"token +(\S+)")
        assert node.context() == {"url": node.admin_url, "gateway": node.url, "token": printed}
        assert stat.S_IMODE((node.data / "context.json").stat().st_mode) == 0o600
        assert node.admin("GET", "/versions").json() == {"items": []}
        node.process.send_signal(signal.SIGINT)
        assert node.ended() == 0, "one Ctrl-C is enough"

        node.start()
        assert not any(line.startswith("token") for line in node.said)
        assert node.context()["token"] == printed
        assert node.admin("GET", "/versions").status_code == 200
        assert printed not in node.log.read_text()
        assert "Traceback" not in node.log.read_text()


def test_a_second_gateway_on_the_same_data_is_refused(shop: Shop, tmp_path: Path) -> None:
    with Node(tmp_path, "--data", str(shop.node.data)) as second:
        second.launch()
        text = failed(second)
    assert f"Another gateway uses {shop.node.data}" in text
    assert "--data" in text
    assert shop.node.get("/shop/v1/who", shop.key).status_code == 200


@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_a_port_in_use_names_the_flag(shop: Shop, tmp_path: Path, flag: str) -> None:
    taken = shop.node.url.rpartition(":")[2]
    ports = {"--port": "0", "--admin-port": "0", flag: taken}
    with Node(tmp_path) as node:
        node.launch(*(part for pair in ports.items() for part in pair))
        text = failed(node)
    assert f"Cannot listen on 127.0.0.1:{taken}: Address already in use. Choose another with {flag}." in text


def test_a_setting_that_is_wrong_is_wrong_usage(tmp_path: Path) -> None:
    with Node(tmp_path, workers=0, PENSTOCK_GRACE="soon") as node:
        node.launch()
        assert node.ended() == 2
        text = node.log.read_text()
    assert "workers (--workers): must be at least 1" in text
    assert "grace (PENSTOCK_GRACE): must be a number" in text
    assert "Traceback" not in text


def test_a_shared_store_needs_the_key_secret(tmp_path: Path) -> None:
    with Node(tmp_path, "--store", "redis://127.0.0.1:1") as node:
        node.launch()
        assert "needs PENSTOCK_KEY_SECRET" in failed(node)


def test_data_that_cannot_be_a_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    with Node(tmp_path) as node:
        node.launch()
        assert f"{tmp_path}/var cannot be used" in failed(node)


def test_a_package_that_cannot_be_imported_ends_the_start_with_its_name(tmp_path: Path) -> None:
    with Node(tmp_path, "--processes", "no_such_package", workers=1) as node:
        node.launch()
        text = failed(node)
    assert "no_such_package" in text
    assert "Traceback" not in text


def test_an_environment_without_a_secret_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "environment.yaml"
    file.write_text("kind: Environment\nname: here\nvaluse: {}\n")
    with Node(tmp_path, "--environment", str(file), workers=1) as node:
        node.launch()
        text = failed(node)
    assert f"{file}:3" in text
    assert "Traceback" not in text


def manifests(folder: Path, shop: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in {"shop": shop, "topic": TOPIC, "rules": rules("folder")}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_wrong_documents_at_the_first_start_end_it_with_their_places(tmp_path: Path) -> None:
    folder = manifests(tmp_path / "documents", SHOP.replace("GET /who: who", "GET /who: whom"))
    with Node(tmp_path, "--processes", "node_processes", "--manifests", str(folder), workers=1) as node:
        node.launch()
        text = failed(node)
    assert f"{folder}/shop.yaml:14:3 (/rest/GET ~1who/call): there is no operation 'whom'." in text


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that was started with a folder of documents, `documents` beside its data."""
    folder = tmp_path_factory.mktemp("published")
    documents = manifests(folder / "documents", SHOP)
    with Node(folder, "--processes", "node_processes", "--manifests", str(documents), workers=1) as node:
        node.start()
        yield node


def test_a_new_control_process_does_not_take_back_what_was_published_since(published: Node) -> None:
    node = published
    key = node.key()
    assert node.get("/shop/v1/who", key).headers["x-mark"] == "folder"
    assert node.apply(rules("rest")).status_code == 200
    old = node.control_pid()
    kill(old)
    until(lambda: node.health().get("pid", old) != old, "another control process is there")
    until(lambda: node.health()["ready"], "it follows")
    assert node.apply(rules("rest")).json()["items"][0]["action"] == "unchanged"
    assert node.get("/shop/v1/who", key).headers["x-mark"] == "rest"
    assert node.apply(rules("folder")).status_code == 200


def test_wrong_documents_at_a_later_start_leave_what_was_live(published: Node) -> None:
    node = published
    key = node.key()
    assert node.stop() == 0
    (node.folder / "documents" / "rules.yaml").write_text(rules("new").replace("headers,", "haeders,"))
    node.start()
    assert node.logged("The documents were refused; shop@v1 as before:")
    assert node.logged("There is no policy kind `haeders`. Did you mean `headers`?")
    assert node.get("/shop/v1/who", key).headers["x-mark"] == "folder"


@pytest.mark.parametrize(
    ("host", "place"), [("0.0.0.0", "127.0.0.1:8081"), ("::", "[::1]:8081"), ("::1", "[::1]:8081")]
)
def test_the_admin_url_leads_to_this_machine_wherever_it_listens(host: str, place: str) -> None:
    assert joined(local(host), 8081) == place
