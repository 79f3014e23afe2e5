"""Chains as they are built: order and stages, conditions, mounts and plans that line up, taps, afters."""

from __future__ import annotations

import logging

import pytest

from tests.live.live_harness import World

COMPONENT = """kind: ApiComponent
name: shop
version: v1
base_path: /shop
operations:
  get: {{effect: safe, input: {{id: string?}}, fixed: 1, output: int32}}
  put: {{effect: writing, input: {{value: int32}}, fixed: 2, output: int32}}
  other: {{effect: safe, fixed: 3, output: int32}}
backends: {{erp: {{http: {{targets: ["http://erp"]}}}}}}
policies: [{policies}]
rest:
  GET /get: {{call: get, policies: [{own}]}}
  POST /put: {{call: put, policies: [{own}]}}
  ANY /erp/**: {{relay: erp, policies: [{own}]}}
soap: {{namespace: "urn:shop", operations: [get, put]}}
odata: {{operations: [get, other]}}
"""
OPEN = "{use: anonymous}"
JSON = {"Content_Type": "application/json"}
SOAP = {"Content_Type": "text/xml"}
ODATA = "/shop/odata/get()"


def component(policies: str, own: str = "") -> str:
    return COMPONENT.format(policies=policies, own=own)


def note(text: str, use: str = "note", more: str = "", rest: str = "") -> str:
    return f"{{id: {text}, use: {use}, with: {{text: {text}{more}}}{rest}}}"


def plan(name: str, *steps: str) -> str:
    return f"kind: Plan\nname: {name}\npolicies: [{', '.join(steps)}]\n"


def envelope(operation: str = "get", inner: str = "") -> bytes:
    return (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        f'<{operation} xmlns="urn:shop">{inner}</{operation}></e:Body></e:Envelope>'
    ).encode()


async def served(*texts: str) -> World:
    world = World()
    await world.serve(*texts)
    return world


# order


async def test_steps_run_in_written_order_cut_by_stage() -> None:
    """DESIGN 4, 5: what reads the body runs behind `buffer`, what reads the call behind `decode`."""
    own = [note("call", "note-call"), note("body", "note-body"), note("head")]
    world = await served(component(OPEN, ", ".join(own)))
    assert (await world.request("POST", "/shop/put", b'{"value": 7}', **JSON)).status == 200
    assert world.seen[:3] == ["head", 'body body={"value": 7}', 'call body={"value": 7} call=put']


async def test_afters_run_reversed() -> None:
    world = await served(component(", ".join([OPEN, note("a"), note("b", "note-call"), note("c")])))
    await world.request("GET", "/shop/get")
    assert world.seen == ["a", "c", "b call=get", "after b 200", "after c 200", "after a 200"]


async def test_on_a_refusal_the_afters_of_the_steps_that_passed_run() -> None:
    """DESIGN 4: so CORS reaches a 401."""
    world = await served(component(", ".join([OPEN, note("a"), note("b", more=", refuses: true"), note("c")])))
    assert (await world.request("GET", "/shop/get")).status == 403
    assert world.seen == ["a", "b", "after a 403"]


async def test_input_that_does_not_fit_is_refused_after_the_body_steps_and_before_the_call_steps() -> None:
    world = await served(component(", ".join([OPEN, note("body", "note-body"), note("call", "note-call")])))
    assert (await world.request("POST", "/shop/put", b'{"value": "x"}', **JSON)).status == 400
    assert world.seen == ['body body={"value": "x"}', "after body 400"]


async def test_a_body_beyond_the_limit_is_refused_where_a_step_reads_it() -> None:
    """PROTOCOLS R9: a relay that nobody reads has no limit."""
    world = await served(component(OPEN, note("body", "note-body", rest=", when: {header: {X-Read: '1'}}")))
    assert (await world.request("POST", "/shop/put", b" " * 1001, **JSON)).status == 413
    world = await served(component(OPEN))
    assert (await world.request("POST", "/shop/erp/x", b" " * 100_000)).status == 200


@pytest.mark.parametrize(
    ("written", "told"), [("", b"None"), (", websocket: true", b"True"), (", websocket: false", b"False")]
)
async def test_what_a_relay_says_of_websockets_reaches_its_upstream(written: str, told: bytes) -> None:
    world = await served(component(OPEN).replace("relay: erp", f"relay: erp{written}"))
    assert (await world.request("GET", "/shop/erp/x")).get(b"x-websocket") == told


# conditions


async def test_a_step_whose_condition_does_not_hold_is_skipped_with_its_after() -> None:
    world = await served(component(", ".join([OPEN, note("a", rest=", when: {method: POST}"), note("b")])))
    await world.request("GET", "/shop/get")
    assert world.seen == ["b", "after b 200"]
    world.seen.clear()
    await world.request("POST", "/shop/put", b'{"value": 1}', **JSON)
    assert world.seen == ["a", "b", "after b 200", "after a 200"]


async def test_a_condition_that_errs_makes_a_protecting_step_run() -> None:
    """DESIGN 5: never a door that is open by mistake."""
    errs = ", when: {claim: {roles: clerk}}"
    admit = "{use: admit, with: {unreadable: true}}"
    world = await served(component(", ".join([admit, note("guard", "guard", ", refuses: true", errs)])))
    assert (await world.request("GET", "/shop/get")).status == 403
    assert world.seen == ["admit", "guard"]


async def test_a_condition_that_errs_before_any_other_step_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    admit = "{use: admit, with: {unreadable: true}}"
    world = await served(component(", ".join([admit, note("a", rest=", when: {claim: {roles: clerk}}")])))
    with caplog.at_level(logging.ERROR, "gateway"):
        answer = await world.request("GET", "/shop/get")
    assert answer.status == 500
    assert b"could not be decided" in answer.body
    assert world.seen == ["admit"]
    assert "`when` of shop@v1/a failed" in caplog.text


async def test_a_skipped_step_in_a_mount_is_skipped_there_too() -> None:
    """Slots have the same places before and behind the dispatch."""
    steps = [OPEN, note("a", rest=", when: {header: {X-A: '1'}}"), note("b", "note-call")]
    world = await served(component(", ".join(steps)))
    await world.request("POST", "/shop/soap", envelope(), **SOAP)
    assert world.seen == [f"b body={envelope().decode()} call=get", "after b 200"]
    world.seen.clear()
    await world.request("GET", ODATA, X_A="1")
    assert world.seen == ["a", "b call=get", "after b 200", "after a 200"]


# mounts and plans


@pytest.mark.parametrize("mount", ["soap", "odata"])
async def test_a_mounts_steps_run_once_and_in_order(mount: str) -> None:
    steps = [note("a"), OPEN, note("b"), note("c", "note-call")]
    world = await served(component(", ".join(steps)))
    if mount == "soap":
        answer = await world.request("POST", "/shop/soap", envelope("put", "<value>7</value>"), **SOAP)
    else:
        answer = await world.request("GET", ODATA)
    assert answer.status == 200
    assert [text.partition(" body")[0] for text in world.seen] == [
        "a", "b", "c" if mount == "soap" else "c call=get", "after c 200", "after b 200", "after a 200"
    ]  # fmt: skip


async def test_what_a_mount_does_not_know_is_refused_behind_its_shared_steps() -> None:
    world = await served(component(", ".join([note("a"), OPEN])))
    assert (await world.request("POST", "/shop/soap", envelope("nothing"), **SOAP)).status == 500
    assert (await world.request("GET", "/shop/odata/Nothing")).status == 404
    assert world.seen == ["a", "after a 500", "a", "after a 404"]


ADMIT = "{use: admit, with: {plan: gold}}"
WAYS = {
    "rest": ("GET", "/shop/get", b"", {}),
    "relay": ("POST", "/shop/erp/x", b"x", {}),
    "soap": ("POST", "/shop/soap", envelope(), SOAP),
    "odata": ("GET", ODATA, b"", {}),
    "document": ("GET", "/shop/openapi.json", b"", {}),
}
ways = pytest.mark.parametrize("way", WAYS)


async def through(world: World, way: str) -> list[str]:
    """What the kinds wrote down, without bodies and calls."""
    method, target, body, headers = WAYS[way]
    answer = await world.request(method, target, body, **headers)
    assert answer.status == 200, answer.body
    return [text if text.startswith("after") else text.split(" ")[0] for text in world.seen]


@ways
async def test_a_plans_steps_come_behind_those_that_are_written(way: str) -> None:
    """DESIGN 5: gateway, component, endpoint, then the plan's."""
    world = await served(component(f"{note('a')}, {ADMIT}, {note('b')}"), plan("gold", note("p")))
    assert await through(world, way) == ["a", "admit", "b", "p", "after p 200", "after b 200", "after a 200"]


@ways
async def test_a_plans_step_replaces_one_of_its_id_in_its_place(way: str) -> None:
    replacing = "{id: b, use: note, with: {text: of-the-plan}}"
    world = await served(component(f"{ADMIT}, {note('b')}, {note('c')}"), plan("gold", replacing))
    assert await through(world, way) == ["admit", "of-the-plan", "c", "after c 200", "after of-the-plan 200"]


@pytest.mark.parametrize("way", ["soap", "odata"])
async def test_a_plan_reaches_mounts_whose_endpoints_begin_differently(way: str) -> None:
    """The step that tells who calls stands behind the dispatch then."""
    text = component(note("a"))
    soap = f"operations: [get, put], policies: [{note('b')}, {ADMIT}]"
    odata = f"odata: {{operations: [get, other], policies: [{note('b')}, {ADMIT}]}}"
    text = text.replace("operations: [get, put]", soap).replace("odata: {operations: [get, other]}", odata)
    text = text.replace(f"policies: [{note('a')}]", f"policies: [{note('a')}]\ndocuments: public")
    text = text.replace("policies: []", f"policies: [{OPEN}]")
    world = await served(text, plan("gold", note("p")))
    assert await through(world, way) == ["a", "b", "admit", "p", "after p 200", "after b 200", "after a 200"]


async def test_an_entity_sets_own_steps_run_behind_the_dispatch() -> None:
    own = f"entity_sets: {{Others: {{call: list, key: [id], policies: [{note('own')}]}}}}, operations: [get]"
    text = component(f"{note('a')}, {ADMIT}").replace("odata: {operations: [get, other]}", f"odata: {{{own}}}")
    listing = (
        "list: {effect: safe, fixed: [{id: 1}], output: [Thing]}\n"
        "types: {Thing: {type: object, properties: {id: {type: integer}}, required: [id]}}\n"
    )
    text = text.replace("backends:", f"  {listing}backends:", 1)
    world = await served(text, plan("gold", note("p")))
    assert (await world.request("GET", "/shop/odata/Others")).status == 200
    assert [each.split(" ")[0] for each in world.seen[:4]] == ["a", "admit", "own", "p"]
    world.seen.clear()
    assert (await world.request("GET", ODATA)).status == 200
    assert [each.split(" ")[0] for each in world.seen[:3]] == ["a", "admit", "p"]


# the chain as it is compiled


async def test_response_taps_run_from_the_backend_outward_and_request_taps_inward() -> None:
    taps = [
        f"{{id: {letter}{of}, use: tap, with: {{letter: {letter}, of: {of}}}}}"
        for letter in "ab" for of in ("request", "response")
    ]  # fmt: skip
    world = await served(component(OPEN, ", ".join(taps)))
    chain = world.swapper.current.versions["shop@v1"].chains["ANY /erp/**"]  # type: ignore[union-attr]
    exchange = object()

    def through_taps(found: object) -> bytes:
        data = b"x"
        for tap in found:  # type: ignore[attr-defined]
            data = tap(exchange)(data, True)
        return data

    assert through_taps(chain.request_taps) == b"xab"
    assert through_taps(chain.response_taps) == b"xba"


async def test_the_tap_of_a_skipped_step_changes_nothing() -> None:
    tap = "{use: tap, with: {letter: z}, when: {header: {X-Z: '1'}}}"
    world = await served(component(OPEN, tap))
    chain = world.swapper.current.versions["shop@v1"].chains["ANY /erp/**"]  # type: ignore[union-attr]

    class Skipping:
        """An exchange whose second step, the tap's, was skipped or was not."""

        def __init__(self, skipped: int) -> None:
            self.skipped = skipped

    (made,) = chain.response_taps
    assert made(Skipping(1 << 1)) is None  # type: ignore[arg-type]
    assert made(Skipping(0))(b"x", True) == b"xz"  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/shop/get", "/shop/erp/x", ODATA])
async def test_no_step_that_stands_before_get_is_passed_by_head(path: str) -> None:
    """RFC 9110 section 9.3.2, where the route serves HEAD from GET and where it is relayed as it is."""
    when = ", when: {method: GET}"
    world = await served(component(", ".join([OPEN, note("guard", "guard", ", refuses: true", when)])))
    for method in ("GET", "HEAD"):
        assert (await world.request(method, path)).status == 403, method
    assert world.seen == ["guard", "guard"]
