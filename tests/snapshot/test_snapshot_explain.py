"""Explaining a request: which version, which endpoint, which steps; and what differs between two snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.snapshot.diff import ABSENT, diff
from gateway.snapshot.explain import Explanation, chain_lines, explain
from gateway.snapshot.spec import Snapshot
from tests.snapshot.snapshot_harness import KINDS, compiled, component, documents

GOLDEN = Path(__file__).parent.parent / "golden" / "snapshot"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))

SHOP = """kind: ApiComponent
name: shop
version: {version}
base_path: /shop/{{version}}
select_by: [path, header]
default: {default}
policies: [{{id: keys, use: api-key}}]
operations:
  get: {{effect: safe, fixed: 1, input: {{id: string}}, output: int32}}
  put: {{effect: idempotent, fixed: 1, input: {{id: string}}, output: int32}}
  ping: {{effect: safe, fixed: pong, output: string}}
backends: {{erp: {{http: {{targets: ["http://erp"]}}}}}}
rest:
  GET /orders/{{id}}: get
  PUT /orders/{{id}}: put
  GET /orders/latest: ping
  HEAD /ping: ping
  GET /ping: ping
  ANY /erp/**: {{relay: erp, path: "/api/**"}}
soap: {{namespace: "urn:shop", operations: [get, ping]}}
odata: {{operations: [ping]}}
"""


async def shop() -> Snapshot:
    return await compiled(
        documents(SHOP.format(version="v1", default="true"), SHOP.format(version="v2", default="false"))
    )


async def asked(method: str, url: str, headers: Mapping[str, str] | None = None) -> Explanation:
    return explain(await shop(), method, url, headers or {}, KINDS)


async def test_a_version_is_chosen_by_path() -> None:
    found = await asked("GET", "https://api.example/shop/v2/orders/7?x=1")
    assert (found.version, found.selected_by, found.endpoint) == ("shop@v2", "path", "GET /orders/{id}")
    assert found.parameters == {"id": "7"}
    assert found.outcome == "runs GET /orders/{id}"
    assert found.backend == "fixed"


async def test_a_version_is_chosen_by_header_or_by_default() -> None:
    assert (await asked("GET", "/shop/orders/7", {"api-version": "v2"})).version == "shop@v2"
    found = await asked("GET", "/shop/orders/7")
    assert (found.version, found.selected_by) == ("shop@v1", "default, Api-Version is not given")


@pytest.mark.parametrize(
    ("method", "url", "headers", "outcome"),
    [
        ("GET", "/shop/orders/7", {"Api-Version": "v9"}, "404: no version v9; there are: v1, v2"),
        ("GET", "/shop/v9/orders/7", {}, "404: shop has no version v9; there are: v1, v2"),
        ("GET", "/other", {}, "404: no base path fits"),
        ("GET", "/shop/v1/nothing", {}, "404: shop@v1 has no template for it"),
        ("GET", "/shop/v1/orders/7/", {}, "404: shop@v1 has no template for it"),
        ("DELETE", "/shop/v1/orders/7", {}, "405: allowed are GET, HEAD, OPTIONS, PUT"),
        ("OPTIONS", "/shop/v1/orders/7", {}, "204: allowed are GET, HEAD, OPTIONS, PUT"),
        ("GET", "/shop/v1/../admin", {}, "400: The path holds a . or .. segment; send the path that is meant."),
        ("GET", "//shop/v1/ping", {}, "400: The path holds an empty segment: //."),
    ],
)
async def test_what_is_not_served_is_told_with_its_reason(
    method: str, url: str, headers: dict[str, str], outcome: str
) -> None:
    assert (await asked(method, url, headers)).outcome == outcome


async def test_the_most_specific_template_is_taken() -> None:
    found = await asked("GET", "/shop/v1/orders/latest")
    assert found.endpoint == "GET /orders/latest"
    left = {each.what: each.reason for each in found.candidates if not each.taken}
    assert left["GET /orders/{id}"] == "a more specific template matches"


async def test_head_has_its_own_endpoint_or_that_of_get() -> None:
    assert (await asked("HEAD", "/shop/v1/ping")).endpoint == "HEAD /ping"
    assert (await asked("HEAD", "/shop/v1/orders/latest")).endpoint == "GET /orders/latest"


async def test_a_wildcard_takes_every_method() -> None:
    found = await asked("PATCH", "/shop/v1/erp/a/b")
    assert found.parameters == {"**": "a/b"}
    assert found.backend == "relay to erp /api/**"
    assert [line.use for line in found.steps] == ["api-key", "relay"]


async def test_soap_and_odata_mounts_are_found() -> None:
    soap = await asked("POST", "/shop/v1/soap")
    assert soap.endpoint.startswith("SOAP service")
    assert [line.use for line in soap.steps] == ["api-key", "buffer", "dispatch(soap)", "decode(soap)", "call"]
    odata = await asked("GET", "/shop/v1/odata/ping()")
    assert odata.endpoint.startswith("OData service")
    assert (await asked("GET", "/shop/v1/odata/$metadata")).endpoint == "GET /odata/$metadata"


async def test_a_retired_version_is_gone() -> None:
    snapshot = await compiled(component("lifecycle: {status: retired}"))
    assert explain(snapshot, "GET", "/shop/v1/a", {}, KINDS).outcome == "410: shop@v1 is retired"


def chains(snapshot: Snapshot) -> str:
    """Every endpoint with its chain as it will run."""
    text = ""
    for version in snapshot.versions:
        for endpoint in version.endpoints:
            text += f"{version.name} {endpoint.key}\n"
            for line in chain_lines(endpoint, KINDS):
                parts = [line.stage, line.id, line.use, line.scope and f"from {line.scope}", line.place]
                text += "  " + "  ".join(filter(None, parts)) + ("  when" if line.when else "") + "\n"
    return text


@pytest.mark.parametrize("name", NAMES)
async def test_golden_documents_become_the_chains_that_are_expected(name: str, update_golden: bool) -> None:
    """NAME.in.yaml becomes NAME.out.txt (chains) or NAME.errors.txt (findings)."""
    try:
        ending = "out.txt"
        text = chains(await compiled((GOLDEN / f"{name}.in.yaml").read_text(), file=f"{name}.in.yaml"))
    except DocumentsRefused as refused:
        ending, text = "errors.txt", f"{refused}\n"
    expected = GOLDEN / f"{name}.{ending}"
    if update_golden:
        for other in ("errors.txt", "out.txt"):
            (GOLDEN / f"{name}.{other}").unlink(missing_ok=True)
        expected.write_text(text)
    assert expected.exists(), f"{name} became {ending}:\n{text}"
    assert text == expected.read_text()


def test_there_are_golden_pairs_and_nothing_else_is_expected() -> None:
    expected = {path.name.split(".")[0] for path in GOLDEN.iterdir() if not path.name.endswith(".in.yaml")}
    assert len(NAMES) >= 5
    assert expected == set(NAMES)


# differences


async def test_equal_snapshots_do_not_differ() -> None:
    assert diff(await shop(), await shop()) == []


async def test_a_changed_setting_is_told_by_its_path() -> None:
    texts = [component(policies=f"policies: [{{use: api-key, with: {{header: {name}}}}}]\n") for name in ("A", "B")]
    one, two = [await compiled(text) for text in texts]
    found = {each.path: (each.before, each.after) for each in diff(one, two)}
    assert found["versions[shop@v1].endpoints[GET /a].steps[api-key].config.header"] == ("A", "B")


async def test_a_version_that_comes_or_goes_is_one_difference() -> None:
    one, two = await compiled(component(version="v2")), await compiled(documents(component(), component(version="v2")))
    assert [(each.path, each.before is ABSENT) for each in diff(one, two)] == [("versions[shop@v1]", True)]
    assert [(each.path, each.after is ABSENT) for each in diff(two, one)] == [("versions[shop@v1]", True)]


async def test_steps_in_another_order_differ() -> None:
    steps = "{id: keys, use: api-key}", "{id: team, use: headers}"
    one, two = [
        await compiled(component(policies=f"policies: [{', '.join(order)}]\n")) for order in (steps, steps[::-1])
    ]
    found = {each.path: (each.before, each.after) for each in diff(one, two)}
    assert found["versions[shop@v1].endpoints[GET /a].steps (order)"] == (["keys", "team"], ["team", "keys"])


async def test_true_and_one_differ() -> None:
    def text(value: str) -> str:
        return component(policies=f"policies: [{{use: api-key}}, {{use: respond, with: {{body: {value}}}}}]\n")

    found = [each.path for each in diff(await compiled(text("1")), await compiled(text("true")))]
    assert "versions[shop@v1].endpoints[GET /a].steps[respond].config.body" in found


async def test_everything_is_new_against_nothing() -> None:
    (found,) = diff(None, await shop())
    assert found.before is ABSENT
    assert set(found.as_json()) == {"path", "after"}
