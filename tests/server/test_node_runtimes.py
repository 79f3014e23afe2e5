"""A node whose processes are hosted elsewhere: by TLS and a token, in all protocols and by messages, through deaths."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from tests.server.far_runtime import TOKEN, FarRuntime
from tests.server.nodes import SHOP, TOPIC, Node, ask, rules, until
from tests.server.ports import AUTHORITY, Certificates

MORE = """
kind: ApiComponent
name: more
version: v1
base_path: /more
operations: {who: {python: who}}
policies: [{use: anonymous}]
rest: {GET /who: who}
soap: {namespace: "urn:more", operations: [who]}
odata: {operations: [who]}
"""
UNKNOWN = """
kind: ApiComponent
name: unknown
version: v1
base_path: /unknown
operations: {x: {python: unheard_of}}
policies: [{use: anonymous}]
rest: {GET /x: x}
"""
BODY = '<who xmlns="urn:more"/>'
ENVELOPE = f'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{BODY}</e:Body></e:Envelope>'
SOAP = {"Content-Type": "text/xml", "SOAPAction": '""'}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runtimes")


@pytest.fixture(scope="module")
def far(folder: Path) -> Iterator[FarRuntime]:
    """It has a certificate, and asks gateways for theirs."""
    (folder / "files").mkdir()
    files = Certificates(folder)
    made = FarRuntime(folder, "far", f"127.0.0.1:0 {files.put('far', 'localhost')} {files.ca}")
    yield made.start("--metrics-port", "0")
    made.close()


@pytest.fixture(scope="module")
def spare(folder: Path, far: FarRuntime) -> Iterator[FarRuntime]:
    """Another place for the same code."""
    made = FarRuntime(folder, "spare", f"unix:{folder}/spare.sock")
    yield made
    made.close()


@pytest.fixture(scope="module")
def node(folder: Path, far: FarRuntime, spare: FarRuntime) -> Iterator[Node]:
    mine = Certificates(folder).put("mine", "gateway.example")
    port = far.place.rpartition(":")[2]
    options = [
        f"far=localhost:{port} ca={folder}/ca.pem {mine}",
        f"spare={spare.place if spare.runs else spare.listen}",
    ]
    runtimes = [part for each in options for part in ("--runtimes", each)]
    with Node(folder, *runtimes, PENSTOCK_RUNTIME_TOKEN=TOKEN) as made:
        made.start()
        found = made.apply(TOPIC, rules("one"), SHOP, MORE)
        assert found.status_code == 200, found.text
        yield made


@pytest.fixture(autouse=True)
def both(far: FarRuntime, node: Node) -> None:
    """`far` runs and is connected before each test."""
    if not far.runs:
        far.again()
    until(lambda: runtime(node, "far")["connected"], "the runtime is connected")


def runtime(node: Node, name: str) -> dict[str, Any]:
    found: dict[str, Any] = node.admin("GET", f"/runtimes/{name}").json()
    return found


def _connected(node: Node, name: str, worker: int) -> bool:
    told = f'penstock_runtime_connections{{runtime="{name}",worker="{worker}"}} 1'
    return told in node.admin("GET", "/metrics").text


def who(node: Node) -> httpx2.Response:
    return ask("GET", f"{node.url}/more/who")


def test_a_process_elsewhere_answers_in_every_protocol(node: Node, far: FarRuntime) -> None:
    assert who(node).json() == far.pid
    soap = ask(
        "POST", f"{node.url}/more/soap", content=ENVELOPE, headers={"Content-Type": "text/xml", "SOAPAction": '""'}
    )
    assert f">{far.pid}<" in soap.text
    odata = ask("GET", f"{node.url}/more/odata/who()")
    assert odata.json()["value"] == far.pid


def test_every_worker_of_the_node_is_connected_by_itself(node: Node, far: FarRuntime) -> None:
    metrics = next(line for line in far.said.split("\n") if line.startswith("metrics")).split()[1]
    until(lambda: "penstock_process_gateways 3" in ask("GET", metrics).text, "two workers and the control process are")
    assert {who(node).json() for _ in range(10)} == {far.pid}
    until(lambda: _connected(node, "far", 0) and _connected(node, "far", 1), "the node's metrics tell of it")
    told = 'penstock_runtime_calls_total{runtime="far",outcome="answered"}'
    until(lambda: told in node.admin("GET", "/metrics").text, "and of the calls")


def test_the_admin_rest_tells_where_each_operation_runs(node: Node, far: FarRuntime) -> None:
    told = runtime(node, "far")
    assert (told["tls"], told["pin"], told["trouble"]) == (True, "contract", None)
    (process,) = told["processes"]
    assert process["runtime"] == "far"
    assert {"who", "gate", "bill"} <= {each["process"] for each in process["hosts"]}
    placed = {each["name"]: (each["code"], each["at"]) for each in node.admin("GET", "/processes").json()["items"]}
    assert placed["more@v1/who"] == ("own", ["far"])
    until(lambda: runtime(node, "far")["nodes"], "the heartbeat tells of it, too")


def test_a_process_that_nobody_hosts_is_refused_and_the_runtimes_that_could_not_be_asked_are_named(node: Node) -> None:
    found = node.apply(UNKNOWN)
    assert found.status_code == 422
    assert "no runtime has registered a process 'unheard_of'" in found.text
    assert "The runtime spare (unix:" in found.text
    assert "cannot be asked" in found.text


def test_a_runtime_that_is_told_to_end_answers_what_it_has_and_others_take_the_rest(
    node: Node, far: FarRuntime, spare: FarRuntime
) -> None:
    key = node.key()
    answers: list[httpx2.Response] = []
    asking = threading.Thread(target=lambda: answers.append(node.get("/shop/v1/gates/drain", key)))
    asking.start()
    until(lambda: node.noted("drain.entered"), "the call is there")
    spare.start()
    until(lambda: _connected(node, "spare", 0) and _connected(node, "spare", 1), "another place is connected")
    ending = threading.Thread(target=far.stop)
    ending.start()
    until(lambda: all(each["draining"] for each in runtime(node, "far")["processes"]), "it takes no more")
    assert {who(node).json() for _ in range(10)} == {spare.pid}
    (node.files / "drain.open").touch()
    asking.join()
    ending.join()
    assert [(each.status_code, each.json()) for each in answers] == [(200, "drain")]
    assert {who(node).json() for _ in range(10)} == {spare.pid}


def test_a_message_waits_while_its_process_is_hosted_nowhere_and_keeps_its_attempts(
    node: Node, far: FarRuntime, spare: FarRuntime
) -> None:
    key = node.key()
    spare.close()
    far.kill()
    until(lambda: node.logged("reads nothing: what runs its messages is away"), "the listeners know")
    until(lambda: not runtime(node, "far")["connected"], "it is gone")
    assert node.order(key, 7).status_code == 202
    answer = node.get("/shop/v1/who", key)
    assert (answer.status_code, answer.json()["code"]) == (503, "runtime_unavailable")
    far.again()
    until(lambda: node.noted("bill-7.done"), "the message is handled")

    def counted(outcome: str) -> int:
        series = f'penstock_deliveries_total{{component="shop",version="v1",listener="bill",outcome="{outcome}"}} '
        lines = node.admin("GET", "/metrics").text.splitlines()
        return sum(int(line.removeprefix(series)) for line in lines if line.startswith(series))

    until(lambda: counted("acknowledged"), "that is counted")
    assert counted("retried") == 0


def test_a_runtime_whose_certificate_is_by_others_is_not_used(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    files = Certificates(tmp_path, trustme.CA())
    stranger = FarRuntime(tmp_path, "stranger", f"127.0.0.1:0 {files.put('far', 'localhost')}").start()
    AUTHORITY.cert_pem.write_to_path(tmp_path / "trusted.pem")
    port = stranger.place.rpartition(":")[2]
    option = f"far=localhost:{port} ca={tmp_path}/trusted.pem"
    with Node(tmp_path, "--runtimes", option, workers=1, PENSTOCK_RUNTIME_TOKEN=TOKEN) as node:
        node.start()
        until(lambda: "its certificate does not hold" in (runtime(node, "far")["trouble"] or ""), "that is told")
        assert node.apply(MORE).status_code == 422
    stranger.close()


def test_a_node_that_starts_before_its_runtime_waits_for_it_to_publish(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "more.yaml").write_text(MORE)
    far = FarRuntime(tmp_path, "late", f"unix:{tmp_path}/late.sock", PENSTOCK_RUNTIME_TOKEN="")
    far.environment.pop("PENSTOCK_RUNTIME_TOKEN")
    with Node(tmp_path, "--runtimes", f"late={far.listen}", "--manifests", str(manifests), workers=1) as node:
        node.launch()
        until(lambda: node.logged("the runtime late cannot be used"), "it was looked for")
        far.start()
        node.connect()
        assert who(node).json() == far.pid
    far.close()


def test_the_token_stands_in_no_log_and_no_file_of_the_node(node: Node, folder: Path) -> None:
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert [str(path) for path in written if TOKEN.encode() in path.read_bytes()] == []
    for pid in (*node.pids(), node.process.pid):
        assert TOKEN not in Path(f"/proc/{pid}/cmdline").read_text()
    for pid in node.pids():
        assert TOKEN not in Path(f"/proc/{pid}/environ").read_text()
