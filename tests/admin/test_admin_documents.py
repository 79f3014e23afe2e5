"""Documents in: all or nothing, dry runs, findings with their places, roll-back."""

from __future__ import annotations

import orjson
import pytest

from gateway.admin.bodies import BODY_LIMIT
from gateway.manifest.loading import load_text
from gateway.manifest.transfer import MEDIA_TYPE, pack
from tests.admin.admin_harness import PLAN, TOPIC, YAML, Bench, policy, problem, shop


async def test_documents_are_applied_together(node: Bench) -> None:
    told = (await node.apply(shop(), policy(), PLAN, TOPIC)).json()
    assert {each["kind"] for each in told["items"]} == {"Policy", "Plan", "Topic", "ApiComponent"}
    assert {each["action"] for each in told["items"]} == {"create"}
    assert told["live"] == ["n1"]
    assert node.control.served.snapshot.hash == told["snapshot"]


async def test_applying_the_same_again_changes_nothing(node: Bench) -> None:
    await node.apply(shop(), policy(), PLAN, TOPIC)
    before = await node.store.sequence()
    told = (await node.apply(shop(), policy(), PLAN, TOPIC)).json()
    assert {each["action"] for each in told["items"]} == {"unchanged"}
    assert told["sequence"] is None
    assert await node.store.sequence() == before


async def test_one_wrong_document_keeps_all_of_them_out(node: Bench) -> None:
    before = await node.store.sequence()
    told = problem(await node.apply(policy(), PLAN, shop().replace("[greet]", "[gret]")), 422)
    assert "gret" in told["errors"][0]["message"]
    assert await node.store.sequence() == before
    assert (await node.send("GET", "/policies")).json()["items"] == []


async def test_a_dry_run_changes_nothing(node: Bench) -> None:
    before = await node.store.sequence()
    told = (await node.apply(shop(), policy(), PLAN, dry_run="true")).json()
    assert {each["action"] for each in told["items"]} == {"create"}
    assert (told["sequence"], told["live"]) == (None, [])
    assert await node.store.sequence() == before
    assert node.crew.served[1:] == []


async def test_every_finding_has_its_place(node: Bench) -> None:
    wrong = shop().replace("effect: safe", "effect: sometimes").replace("use: api-key", "use: api-keys")
    told = problem(await node.apply(wrong, policy().replace("steps:", "stepps:"), label="shop.yaml"), 422)
    places = [each["target"] for each in told["errors"]]
    assert len(places) >= 2
    assert all(place.startswith("shop.yaml:") for place in places)
    assert any(place.startswith("shop.yaml:7:") for place in places)


async def test_what_only_building_finds_has_its_place_too(node: Bench) -> None:
    wrong = shop(text="7").replace("urn:example:shop", "http://schemas.xmlsoap.org/wsdl/")
    told = problem(await node.apply(wrong, label="shop.yaml"), 422)
    assert {each["code"] for each in told["errors"]} == {"fixed-value", "soap"}
    assert [each["target"].split(" ")[0] for each in told["errors"]] == ["shop.yaml:10:5", "shop.yaml:15:1"]
    assert node.crew.served[1:] == []


async def test_a_secret_that_the_node_has_not_is_found_with_its_place(node: Bench) -> None:
    step = "  - {id: to, use: headers, with: {request: {set: {X-Key: 'secret:erb'}}}}\n"
    wrong = shop().replace("rest:\n", f"{step}rest:\n")
    told = problem(await node.apply(wrong, label="shop.yaml"), 422)
    assert "erb" in told["errors"][0]["message"]
    assert told["errors"][0]["target"].startswith("shop.yaml:13:")


async def test_a_version_that_lost_its_secret_stands_in_nobodys_way(node: Bench) -> None:
    step = "  - {id: to, use: headers, with: {request: {set: {X-Key: 'secret:erp'}}}}\n"
    await node.apply(shop().replace("rest:\n", f"{step}rest:\n"))
    node.secrets.clear()
    assert (await node.apply(shop("other"))).status_code == 200
    problem(await node.apply(shop(text="bye").replace("rest:\n", f"{step}rest:\n")), 422)
    assert (await node.apply(shop())).status_code == 200


async def test_packed_documents_keep_the_places_of_their_files(node: Bench) -> None:
    wrong = pack(load_text(shop(text="7"), "dir/shop.yaml"))
    told = problem(await node.send("POST", "/apply", content=wrong, headers={"Content-Type": MEDIA_TYPE}), 422)
    assert told["errors"][0]["target"].startswith("dir/shop.yaml:10:5")


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"documents": 7}', b'{"documents": [7]}', b"\xff", b"", b"{"])
async def test_a_package_that_is_none_is_refused(node: Bench, body: bytes) -> None:
    problem(await node.send("POST", "/apply", content=body, headers={"Content-Type": MEDIA_TYPE}), 422)


@pytest.mark.parametrize(
    "text", ["{", "kind: [", "a: b: c", "- 1", "7", "", "kind: Nothing", "kind: Policy\nkind: Plan"]
)
async def test_text_that_is_no_document_is_refused(node: Bench, text: str) -> None:
    told = problem(await node.send("POST", "/apply", content=text, headers=YAML), 422)
    assert told["errors"]


async def test_text_that_is_no_utf_8_is_refused(node: Bench) -> None:
    problem(await node.send("POST", "/apply", content=b"kind: \xff", headers=YAML), 400)


async def test_json_is_taken_as_json(node: Bench) -> None:
    document = {"kind": "Policy", "name": "team", "steps": [{"id": "k", "use": "api-key"}]}
    assert (await node.send("POST", "/apply", json=document)).status_code == 200
    yaml = {"content": policy("more"), "headers": {"Content-Type": "application/json"}}
    problem(await node.send("POST", "/apply", **yaml), 422)  # type: ignore[arg-type]


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_other_media_types_are_refused(node: Bench, media: str) -> None:
    told = problem(await node.send("POST", "/apply", content=policy(), headers={"Content-Type": media}), 415)
    assert "application/yaml" in told["detail"]


async def test_a_compressed_body_is_refused(node: Bench) -> None:
    headers = YAML | {"Content-Encoding": "gzip"}
    problem(await node.send("POST", "/apply", content=policy(), headers=headers), 415)


async def test_an_oversized_body_is_refused(node: Bench) -> None:
    problem(await node.send("POST", "/apply", content=b"#" * (BODY_LIMIT + 1), headers=YAML), 413)
    problem(await node.send("POST", "/applications", content=b" " * (BODY_LIMIT + 1)), 413)


@pytest.mark.parametrize("query", [{"dry_run": "yes"}, {"force": ""}, {"no_activate": "1"}])
async def test_a_flag_is_true_or_false(node: Bench, query: dict[str, str]) -> None:
    assert next(iter(query)) in problem(await node.apply(policy(), **query), 400)["detail"]


async def test_what_consumers_would_notice_is_refused_unless_forced(node: Bench) -> None:
    await node.apply(shop())
    narrower = (
        shop().replace("who: string}", "who: 'string', more: string}").replace("greet/{who}", "greet/{who}/{more}")
    )
    told = problem(await node.apply(narrower), 409)
    assert told["code"] == "breaking_change"
    assert told["errors"]
    forced = (await node.apply(narrower, force="true")).json()
    assert forced["breaking"]
    assert (await node.send("GET", "/audit?limit=1")).json()["items"][0]["forced"] is True


async def test_a_revision_may_be_stored_and_activated_later(node: Bench) -> None:
    await node.apply(shop())
    live = (await node.send("GET", "/versions/shop@v1")).json()["revision"]
    await node.apply(shop(text="bye"), no_activate="true")
    assert (await node.send("GET", "/versions/shop@v1")).json()["revision"] == live
    stored = (await node.send("GET", "/revisions?name=shop@v1")).json()["items"]
    other = next(each["revision"] for each in stored if not each["active"])
    told = (await node.send("POST", "/versions/shop@v1/rollback", json={"to": other})).json()
    assert (told["from"], told["to"]) == (live, other)
    assert (await node.send("GET", "/versions/shop@v1")).json()["revision"] == other


async def test_a_rollback_goes_to_the_revision_before(node: Bench) -> None:
    await node.apply(shop())
    first = (await node.send("GET", "/versions/shop@v1")).json()["revision"]
    await node.apply(shop(text="bye"))
    told = (await node.send("POST", "/versions/shop@v1/rollback", json={})).json()
    assert told["to"] == first
    assert told["live"] == ["n1"]
    assert (await node.send("GET", "/versions/shop@v1")).json()["revision"] == first


async def test_a_rollback_needs_an_earlier_revision_of_that_version(node: Bench) -> None:
    await node.apply(shop(), shop("other"))
    problem(await node.send("POST", "/versions/shop@v1/rollback", json={}), 409)
    other = (await node.send("GET", "/versions/other@v1")).json()["revision"]
    assert problem(await node.send("POST", "/versions/shop@v1/rollback", json={"to": other}), 400)["target"] == "to"
    problem(await node.send("POST", "/versions/shop@v1/rollback", json={"to": "nothing"}), 404)
    assert "shop@v1" in problem(await node.send("POST", "/versions/nix@v1/rollback", json={}), 404)["detail"]


async def test_a_worker_that_cannot_build_it_keeps_it_out(node: Bench) -> None:
    await node.apply(shop())
    node.crew.wrong = "no memory left"
    told = problem(await node.apply(shop(text="bye")), 409)
    assert "no memory left" in told["detail"]
    assert "Nothing was changed" in told["detail"]
    latest = (await node.send("GET", "/audit?limit=1")).json()["items"][0]
    assert latest["outcome"] == "refused"


async def test_a_policy_in_use_is_not_deleted(node: Bench) -> None:
    await node.apply(policy(), shop().replace("use: api-key}", "use: api-key}\n  - team"))
    told = problem(await node.send("DELETE", "/policies/team"), 422)
    assert "team" in told["errors"][0]["message"]
    assert (await node.send("DELETE", "/versions/shop@v1")).status_code == 200
    assert (await node.send("DELETE", "/policies/team")).json()["deleted"] == "team"
    problem(await node.send("GET", "/policies/team"), 404)


async def test_a_plan_with_subscriptions_is_not_deleted(node: Bench) -> None:
    await node.apply(shop(), PLAN)
    await node.send("POST", "/applications", json={"name": "partner"})
    await node.send("POST", "/subscriptions", json={"application": "partner", "api": "shop", "plan": "gold"})
    assert "partner/shop" in problem(await node.send("DELETE", "/plans/gold"), 409)["detail"]
    assert (await node.send("DELETE", "/subscriptions/partner/shop")).status_code == 200
    assert (await node.send("DELETE", "/plans/gold")).status_code == 200


async def test_an_environment_is_never_stored(node: Bench) -> None:
    told = problem(await node.apply("kind: Environment\nname: here\nvalues: {a: b}\n"), 422)
    assert "serve --environment" in told["errors"][0]["message"]


async def test_what_is_live_can_be_looked_at(node: Bench) -> None:
    await node.apply(shop(), shop("other"), policy(), PLAN, TOPIC)
    assert (await node.send("GET", "/components")).json()["items"][0] == {"name": "other", "versions": ["v1"]}
    one = (await node.send("GET", "/versions/shop@v1")).json()
    assert (one["base_path"], one["operations"]) == ("/shop/{version}", ["greet"])
    assert (await node.send("GET", f"/revisions/{one['revision']}")).json()["component"] == "shop"
    diff = (await node.send("GET", "/diff?from=shop@v1&to=other@v1")).json()["items"]
    assert any(each["path"].endswith("base_path") for each in diff)
    snapshot = await node.send("GET", "/snapshot")
    assert orjson.loads(snapshot.content)["versions"][0]["component"] == "other"
    assert snapshot.headers["etag"] == f'"{node.control.served.hash}"'
    told = (await node.send("POST", "/explain", json={"method": "GET", "url": "/shop/v1/greet/x"})).json()
    assert (told["version"], told["endpoint"]) == ("shop@v1", "GET /greet/{who}")
    kinds = [each["name"] for each in (await node.send("GET", "/policy-kinds")).json()["items"]]
    assert "api-key" in kinds
    assert (await node.send("GET", "/nodes")).json()["items"][0]["name"] == "n1"


APPLICATION = """\
kind: Application
name: partner
owner: ops@example.org
subscriptions:
  - {api: shop, plan: gold}
"""


async def test_an_application_is_created_once_and_then_unchanged(node: Bench) -> None:
    told = (await node.apply(APPLICATION, PLAN, shop())).json()
    assert {(each["kind"], each["action"]) for each in told["items"]} >= {
        ("Application", "create"),
        ("Subscription", "create"),
    }
    created = (await node.send("GET", "/applications/partner")).json()["created"]
    node.clock.advance(60)  # type: ignore[attr-defined]
    told = (await node.apply(APPLICATION)).json()
    assert ({each["action"] for each in told["items"]}, told["sequence"]) == ({"unchanged"}, None)
    told = (await node.apply(APPLICATION.replace("ops@", "it@"))).json()
    assert [each["action"] for each in told["items"]] == ["update", "unchanged"]
    shown = (await node.send("GET", "/applications/partner")).json()
    assert (shown["owner"], shown["created"]) == ("it@example.org", created)


async def test_a_key_survives_that_its_application_is_applied_again(node: Bench) -> None:
    await node.apply(APPLICATION, PLAN, shop())
    key = (await node.send("POST", "/keys", json={"application": "partner", "api": "shop"})).json()
    await node.apply(APPLICATION.replace(", plan: gold", ""))
    listed = (await node.send("GET", "/keys")).json()["items"]
    assert [(each["id"], each["plan"]) for each in listed] == [(key["id"], None)]


async def test_a_subscription_names_an_api_and_a_plan_that_are_there(node: Bench) -> None:
    told = problem(await node.apply(APPLICATION, label="apps.yaml"), 422)
    assert [each["target"].split(" ")[0] for each in told["errors"]] == ["apps.yaml:5:6", "apps.yaml:5:17"]
