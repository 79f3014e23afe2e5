"""A version's life cycle on the wire, and its documents."""

from __future__ import annotations

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.manifest.documents import Lifecycle
from gateway.manifest.loading import load_text
from gateway.snapshot.lifecycle import lifecycle_spec, open_to_new_subscriptions
from tests.live.live_harness import World

SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop/{version}
operations: {get: {effect: safe, fixed: 1, output: int32}}
rest: {GET /get: get}
soap: {namespace: "urn:shop", operations: [get]}
odata: {operations: [get]}
"""
OPEN = "policies: [{use: anonymous}]\n"
GUARDED = "policies: [{id: guard, use: guard, with: {text: guard, refuses: true}}]\n"
GATEWAY = """kind: Policy
name: gateway
steps: [{id: server, use: headers, with: {response: {set: {X-Gateway: here}}}}]
"""
DOCUMENTS = ["/openapi.json", "/soap?wsdl", "/odata", "/odata/", "/odata/$metadata"]
ENDPOINTS = [("GET", "/get"), ("POST", "/soap"), ("GET", "/odata/get()")]


async def served(*texts: str) -> World:
    world = World()
    await world.serve(*texts)
    return world


@pytest.mark.parametrize(("method", "path"), [*ENDPOINTS, ("GET", "/openapi.json")])
async def test_a_deprecated_version_announces_it_on_success_and_on_refusal(method: str, path: str) -> None:
    """PROTOCOLS R5: RFC 9745, RFC 8594, RFC 8288."""
    life = (
        "lifecycle: {status: deprecated, since: 2026-01-01, sunset: 2026-12-31T12:00:00+02:00, successor: v2,"
        " documentation: 'https://shop.example/v1'}\n"
    )
    for policies in (OPEN, GUARDED):
        world = await served(SHOP + policies + life)
        answer = await world.request(method, f"/shop/v1{path}")
        assert answer.get(b"deprecation") == b"@1767225600"
        assert answer.get(b"sunset") == b"Thu, 31 Dec 2026 10:00:00 GMT"
        assert answer.all(b"link") == [
            b'</shop/v2>; rel="successor-version"',
            b'<https://shop.example/v1>; rel="deprecation"',
        ]


@pytest.mark.parametrize(("method", "path"), [*ENDPOINTS, *(("GET", path) for path in DOCUMENTS)])
async def test_a_retired_version_answers_410_and_says_where_to_go(method: str, path: str) -> None:
    """PROTOCOLS R5; before authentication, in every protocol."""
    world = await served(SHOP + GUARDED + "lifecycle: {status: retired, successor: v2}\n")
    answer = await world.request(method, f"/shop/v1{path}")
    assert answer.status == 410
    assert b"v2" in answer.body
    assert answer.get(b"link") == b'</shop/v2>; rel="successor-version"'
    assert world.seen == []


async def test_a_draft_is_not_served() -> None:
    world = await served(SHOP + OPEN + "lifecycle: {status: draft}\n")
    assert (await world.request("GET", "/shop/v1/get")).status == 404


async def test_a_published_version_announces_nothing() -> None:
    world = await served(SHOP + OPEN)
    answer = await world.request("GET", "/shop/v1/get")
    assert not {b"deprecation", b"sunset", b"link"} & {name for name, _ in answer.headers}


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_documents_are_under_the_components_policies_unless_they_are_public(path: str) -> None:
    protected = await served(SHOP + GUARDED, GATEWAY)
    answer = await protected.request("GET", f"/shop/v1{path}")
    assert (answer.status, protected.seen) == (403, ["guard"])
    public = await served(SHOP + GUARDED + "documents: public\n", GATEWAY)
    answer = await public.request("GET", f"/shop/v1{path}")
    assert (answer.status, public.seen) == (200, [])
    assert answer.get(b"x-gateway") == b"here"


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_is_read_by_get_and_head_only(path: str) -> None:
    world = await served(SHOP + OPEN)
    assert (await world.request("HEAD", f"/shop/v1{path}")).status == 200
    answer = await world.request("DELETE", f"/shop/v1{path}")
    assert answer.status == 405
    assert b"GET" in (answer.get(b"allow") or b"")


async def test_documents_name_the_address_that_the_client_used() -> None:
    """PROTOCOLS S1."""
    world = await served(SHOP + OPEN)
    for path in ("/soap?wsdl", "/odata"):
        answer = await world.request("GET", f"/shop/v1{path}", Host="shop.example:8443")
        assert b"http://shop.example:8443/shop/v1/" in answer.body


async def test_a_wildcard_never_shadows_a_mount() -> None:
    """DESIGN 7."""
    wild = "backends: {erp: {http: {targets: ['http://erp']}}}\n"
    text = SHOP.replace("rest: {GET /get: get}", "rest: {ANY /**: {relay: erp}}")
    world = await served(text + wild + OPEN)
    for path in DOCUMENTS:
        answer = await world.request("GET", f"/shop/v1{path}")
        assert (answer.status, answer.get(b"x-upstream")) == (200, None)
    assert (await world.request("GET", "/shop/v1/odata/get()")).get(b"x-upstream") is None
    assert (await world.request("GET", "/shop/v1/other")).get(b"x-upstream") == b"http://erp"


DEPRECATED = "lifecycle: {{status: deprecated, since: 2023-01-01, successor: v2, {more}}}\n"
MORNING = 1_699_952_400.0  # Tuesday 2023-11-14T09:00Z


async def at(moment: float, more: str) -> World:
    world = World()
    world.clock.now = moment
    await world.serve(SHOP + GUARDED + DEPRECATED.format(more=more))
    return world


@pytest.mark.parametrize(("method", "path"), [*ENDPOINTS, ("GET", "/openapi.json")])
async def test_in_a_brownout_a_deprecated_version_answers_503_and_says_for_how_long(method: str, path: str) -> None:
    world = await at(MORNING, "brownouts: [{from: 2023-11-14T09:00:00Z, until: 2023-11-14T09:15:00Z}]")
    answer = await world.request(method, f"/shop/v1{path}")
    assert (answer.status, answer.get(b"retry-after"), world.seen) == (503, b"900", [])
    assert answer.get(b"deprecation") == b"@1672531200"
    assert answer.get(b"link") == b'</shop/v2>; rel="successor-version"'
    world.clock.advance(900)
    assert (await world.request(method, f"/shop/v1{path}")).status != 503


@pytest.mark.parametrize(
    ("window", "status"),
    [
        ('{at: "09:00", for: 15m}', 503),
        ('{at: "08:46", for: 15m}', 503),
        ('{at: "08:45", for: 15m}', 403),
        ('{at: "09:01", for: 15m}', 403),
        ('{at: "09:00", for: 15m, days: [tuesday]}', 503),
        ('{at: "09:00", for: 15m, days: [monday, wednesday]}', 403),
        ('{at: "23:00", for: 11h, days: [monday]}', 503),
        ('{at: "23:00", for: 11h, days: [tuesday]}', 403),
        ("{from: 2023-11-14, until: 2023-11-15}", 503),
        ("{from: 2023-11-15, until: 2023-11-16}", 403),
    ],
)
async def test_brownouts_come_once_or_on_days_by_the_clock(window: str, status: int) -> None:
    world = await at(MORNING, f"brownouts: [{window}]")
    assert (await world.request("GET", "/shop/v1/get")).status == status


async def test_of_two_brownouts_the_later_end_counts() -> None:
    world = await at(MORNING, 'brownouts: [{at: "09:00", for: 15m}, {at: "09:00", for: 30m}]')
    answer = await world.request("GET", "/shop/v1/get")
    assert answer.get(b"retry-after") == b"1800"
    assert b'"code":"brownout"' in answer.body


async def test_from_a_sunset_that_acts_on_the_version_is_gone() -> None:
    world = await at(MORNING - 1, "sunset: 2023-11-14T09:00:00Z, sunset_acts: true")
    assert (await world.request("GET", "/shop/v1/get")).status == 403
    world.clock.advance(1)
    answer = await world.request("GET", "/shop/v1/get")
    assert (answer.status, answer.get(b"sunset")) == (410, b"Tue, 14 Nov 2023 09:00:00 GMT")


async def test_a_sunset_that_does_not_act_changes_nothing() -> None:
    world = await at(MORNING + 1, "sunset: 2023-11-14T09:00:00Z")
    assert (await world.request("GET", "/shop/v1/get")).status == 403


@pytest.mark.parametrize(
    "life",
    [
        "{status: deprecated, brownouts: [{from: 2026-01-02, until: 2026-01-01}]}",
        "{status: deprecated, brownouts: [{from: 2026-01-02}]}",
        '{status: deprecated, brownouts: [{at: "09:00", for: 25h}]}',
        '{status: deprecated, brownouts: [{at: "9:00", for: 1h}]}',
        "{status: deprecated, brownouts: [{from: 2026-01-02, until: 2026-01-03, days: [monday]}]}",
        "{brownouts: [{from: 2026-01-02, until: 2026-01-03}]}",
        "{status: deprecated, sunset_acts: true}",
    ],
)
def test_a_life_cycle_that_cannot_be_meant_is_refused(life: str) -> None:
    with pytest.raises(DocumentsRefused):
        load_text(SHOP + OPEN + f"lifecycle: {life}\n", "shop.yaml")


@pytest.mark.parametrize(("status", "open_"), [("published", True), ("deprecated", False), ("retired", False)])
def test_only_a_version_in_good_standing_takes_new_subscriptions(status: str, open_: bool) -> None:
    life = lifecycle_spec(Lifecycle.model_validate({"status": status}))
    assert open_to_new_subscriptions(life, MORNING) is open_


async def test_what_is_set_on_a_version_stands_in_place_of_its_manifests_life_cycle() -> None:
    world = World()
    await world.serve(SHOP + OPEN, lifecycles={"shop@v1": {"status": "retired", "successor": "v2"}})
    assert (await world.request("GET", "/shop/v1/get")).status == 410
