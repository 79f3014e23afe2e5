"""Steps that decide on the operation that runs, in chains that were published: REST, SOAP and OData (DESIGN 5)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.kinds import Stage
from gateway.live.libraries import needed
from gateway.snapshot.explain import explain
from tests.policy.policy_harness import Gateway
from tests.policy.test_policy_in_routes import Published, published
from tests.snapshot.snapshot_harness import KINDS, compiled, documents, findings, plan

KEY = (b"X-API-KEY", b"pk_right")
SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop
operations:
  get: {effect: safe, fixed: 1, input: {id: string?}, output: int32}
  put: {effect: safe, fixed: 2, input: {id: string?}, output: int32}
policies:
  - {id: keys, use: api-key}
  - STEP
rest: {GET /get: get, GET /put: put, GET /limited: {call: get, policies: [base, {use: headers}]}}
soap: {namespace: "urn:shop", operations: [get, put]}
odata: {operations: [get, put]}
"""
ONLY_GET = "{use: cel, with: {expression: 'operation == \"get\"'}}"
BY_ROLES = "{use: roles, with: {operations: {put: [admin], get: []}}}"
BY_WHEN = "{use: respond, with: {status: 403}, when: {any: [{cel: 'operation == \"put\"'}]}}"


async def shop_with(gateway: Gateway, step: str, *more: str) -> Published:
    gateway.add_key(b"pk_right")
    return await published(gateway, SHOP.replace("STEP", step), plan("gold"), *more)


def envelope(operation: str) -> bytes:
    space = "http://schemas.xmlsoap.org/soap/envelope/"
    return f'<e:Envelope xmlns:e="{space}"><e:Body><{operation} xmlns="urn:shop"/></e:Body></e:Envelope>'.encode()


async def run(shop: Published, protocol: str, operation: str) -> int:
    if protocol == "rest":
        return (await shop.request("GET", f"/shop/{operation}", [KEY])).status
    if protocol == "odata":
        return (await shop.request("GET", f"/shop/odata/{operation}()", [KEY])).status
    headers = [KEY, (b"Content-Type", b"text/xml")]
    return (await shop.request("POST", "/shop/soap", headers, envelope(operation))).status


@pytest.mark.parametrize("protocol", ["rest", "soap", "odata"])
@pytest.mark.parametrize("step", [ONLY_GET, BY_ROLES, BY_WHEN], ids=["cel", "roles", "when"])
async def test_a_step_of_the_component_decides_on_the_operation_in_every_protocol(
    gateway: Gateway, protocol: str, step: str
) -> None:
    shop = await shop_with(gateway, step)
    assert await run(shop, protocol, "get") == 200
    assert await run(shop, protocol, "put") in {403, 500 if protocol == "soap" else 403}


async def test_a_refused_operation_of_soap_is_a_fault_of_its_own_chain(gateway: Gateway) -> None:
    shop = await shop_with(gateway, ONLY_GET)
    answer = await shop.request("POST", "/shop/soap", [KEY, (b"Content-Type", b"text/xml")], envelope("put"))
    assert b"not allowed" in answer.body
    assert b"Fault" in answer.body


async def test_who_has_no_key_is_refused_before_the_operation_is_looked_for(gateway: Gateway) -> None:
    shop = await shop_with(gateway, ONLY_GET)
    assert (await shop.request("POST", "/shop/soap", [], b"<not-xml")).status == 401


@pytest.mark.parametrize("protocol", ["soap", "odata"])
async def test_a_plan_may_decide_by_operation_as_well(gateway: Gateway, protocol: str) -> None:
    gateway.add_key(b"pk_right")
    shop = await published(gateway, SHOP.replace("  - STEP\n", ""), plan("gold", ONLY_GET))
    assert await run(shop, protocol, "get") == 200
    assert await run(shop, protocol, "put") in {403, 500 if protocol == "soap" else 403}


@pytest.mark.parametrize(
    ("url", "steps"),
    [
        ("/shop/soap", ["api-key", "buffer", "dispatch(soap)", "cel", "decode(soap)", "call"]),
        ("/shop/odata/get()", ["api-key", "dispatch(odata)", "cel", "decode(odata)", "call"]),
        ("/shop/get", ["api-key", "cel", "decode(rest)", "call"]),
    ],
)
async def test_explain_tells_where_the_operation_is_known(url: str, steps: list[str]) -> None:
    snapshot = await compiled(documents(SHOP.replace("STEP", ONLY_GET), plan("gold")))
    method = "POST" if url.endswith("soap") else "GET"
    assert [line.use for line in explain(snapshot, method, url, {}, KINDS).steps] == steps


async def test_explain_tells_the_stage_of_a_configuration() -> None:
    step = "{use: cel, with: {expression: 'arguments.id == \"7\"', stage: call}}"
    snapshot = await compiled(documents(SHOP.replace("STEP", step), plan("gold")))
    lines = {line.use: line.stage for line in explain(snapshot, "GET", "/shop/get", {}, KINDS).steps}
    assert lines["cel"] == Stage.CALL.name


@pytest.mark.parametrize("protocol", ["rest", "soap", "odata"])
async def test_the_arguments_of_the_call_decide_in_every_protocol(gateway: Gateway, protocol: str) -> None:
    step = "{use: cel, with: {expression: '!has(arguments.id) || arguments.id == null', stage: call}}"
    shop = await shop_with(gateway, step)
    assert await run(shop, protocol, "get") == 200
    assert (await shop.request("GET", "/shop/get?id=7", [KEY])).status == 403


# configurations


async def found(step: str) -> list[str]:
    return [str(each) for each in await findings(documents(SHOP.replace("STEP", step), plan("gold")))]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{use: any-of, with: {steps: [{use: api-kee}]}}", "`steps.0`: `api-kee` is no kind of authentication"),
        ("{use: any-of, with: {steps: [{use: rate-limit}]}}", "`steps.0`: `rate-limit` is no kind of authentication"),
        ("{use: any-of, with: {steps: [{use: api-key, with: {heder: X}}]}}", "has no setting `heder`"),
        ("{use: any-of, with: {steps: [{use: any-of}]}}", "`steps.0`: `any-of` is no kind"),
        ("{use: cel, with: {expression: 'nobody()'}}", "calls nobody"),
        ("{use: headers, when: {cel: '1 +'}}", "when.cel: the expression is not CEL"),
    ],
)
async def test_what_stands_within_a_step_is_refused_with_its_place(step: str, said: str) -> None:
    texts = [text for text in await found(step) if said in text]
    assert texts
    assert texts[0].startswith("shop.yaml:10:"), texts


async def test_what_ways_and_conditions_need_is_loaded_before_they_are_built() -> None:
    step = "{use: any-of, with: {steps: [{use: api-key}]}, when: {cel: 'operation == \"get\"'}}"
    snapshot = await compiled(documents(SHOP.replace("STEP", step), plan("gold")))
    assert "gateway.core.expressions" in set(needed(snapshot.versions[0], {}, KINDS))


@pytest.mark.parametrize(
    ("expression", "use", "status"),
    [
        ("request.headers['x-a'] == 'b'", "respond", 500),
        ("request.method == 'GET'", "respond", 418),
        ("request.headers['x-a'] == 'b'", "api-key", 401),
    ],
)
async def test_a_condition_that_errs_opens_nothing(gateway: Gateway, expression: str, use: str, status: int) -> None:
    """DESIGN 5: a protecting step runs, any other is a 500."""
    settings: Any = "status: 418" if use == "respond" else "header: X-Second"
    step = f'{{id: second, use: {use}, with: {{{settings}}}, when: {{cel: "{expression}"}}}}'
    shop = await shop_with(gateway, step)
    assert (await shop.request("GET", "/shop/get", [KEY])).status == status
