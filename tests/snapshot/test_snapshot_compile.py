"""Compiling: what is refused, with its place, and what comes out."""

from __future__ import annotations

import pytest

from gateway.snapshot.spec import load
from tests.snapshot.snapshot_harness import (
    compiled,
    component,
    documents,
    endpoint,
    finding,
    findings,
    plan,
    policy,
)

SQL = 'values: {ledger_url: {default: "sqlite+aiosqlite://"}}\nbackends: {ledger: {sql: {url: "${ledger_url}"}}}\n'


async def test_an_endpoint_that_nothing_protects_is_refused() -> None:
    found = await findings(component(policies="none"))
    assert {each.code for each in found} == {"unprotected_endpoint"}
    assert found[-1].place.line == 6
    assert "{use: anonymous}" in found[-1].hint


async def test_an_open_endpoint_says_so() -> None:
    assert await compiled(component(policies="policies: [{use: anonymous}]\n"))


async def test_a_step_that_protects_some_requests_does_not_count() -> None:
    text = component(policies="policies: [{use: api-key, when: {method: POST}}]\ndocuments: public\n")
    assert (await finding(text)).code == "unprotected_endpoint"


async def test_public_documents_need_no_protection() -> None:
    rest = "rest: {GET /a: {call: a, policies: [{use: api-key}]}}\n"
    found = await finding(component(rest, policies="none"))
    assert "documents: public" in found.hint
    snapshot = await compiled(component(rest + "documents: public", policies="none"))
    assert endpoint(snapshot, "GET /openapi.json").steps == ()


# URLs


async def test_two_components_of_one_url_are_refused_and_both_named() -> None:
    """PROTOCOLS B3"""
    text = documents(component(path="/x"), component(name="other", path="/x"))
    found = await finding(text)
    assert found.code == "url_collision"
    assert "shop@v1" in found.message
    assert "other@v1" in found.message
    assert (found.place.file, found.place.line) == ("shop.yaml", 4)


async def test_two_versions_without_a_version_in_their_url_are_refused() -> None:
    text = documents(component(path="/x"), component(path="/x", version="v2"))
    assert (await finding(text)).hint == "Put {version} into base_path, or select by header alone."


async def test_versions_that_a_header_tells_apart_share_a_url() -> None:
    text = [component("select_by: [header]\n", path="/x", version=version) for version in ("v1", "v2")]
    assert len((await compiled(documents(*text))).versions) == 2


async def test_versions_that_two_headers_would_tell_apart_are_refused() -> None:
    text = [
        component(f"select_by: [header]\nversion_header: {name}\n", path="/x", version=version)
        for version, name in (("v1", "A"), ("v2", "B"))
    ]
    assert (await finding(documents(*text))).hint == "Give both the same version_header."


async def test_routes_that_differ_by_the_names_of_their_parameters_are_one() -> None:
    rest = "operations: {a: {fixed: 1, input: {id: int32?, name: int32?}, output: int32}}\n"
    found = await finding(component(rest + "rest: {'GET /a/{id}': a, 'GET /a/{name}': a}"))
    assert found.code == "url_collision"
    assert "GET /a/{id}" in found.message
    assert "GET /a/{name}" in found.message
    assert found.place.line == 7


async def test_a_route_below_another_base_path_would_never_be_reached() -> None:
    """PROTOCOLS B3: the longest base path decides"""
    text = documents(component("rest: {GET /x/a: a}", path="/shop"), component(name="other", path="/shop/x"))
    found = await finding(text)
    assert found.code == "url_collision"
    assert "shop@v1 GET /x/a" in found.message
    assert "other@v1" in found.message


async def test_wildcards_leave_other_base_paths_alone() -> None:
    backend = 'backends: {erp: {http: {targets: ["http://erp"]}}}\n'
    text = documents(
        component(backend + "rest: {'GET /**': {relay: erp}}", path="/shop"), component(name="other", path="/shop/x")
    )
    assert len((await compiled(text)).versions) == 2


@pytest.mark.parametrize("route", ["GET /openapi.json", "GET /soap", "GET /odata/{name}"])
async def test_a_route_that_hides_a_mount_is_refused(route: str) -> None:
    operations = "operations: {a: {fixed: 1, input: {name: string?}, output: int32, effect: safe}}\n"
    mounts = "soap: {namespace: 'urn:a', operations: [a]}\nodata: {operations: [a]}\n"
    found = await findings(component(f"{operations}{mounts}rest: {{'{route}': a}}"))
    assert {each.code for each in found} <= {"shadowed_mount", "url_collision"}
    assert "shadowed_mount" in {each.code for each in found}


async def test_two_default_versions_are_refused_and_both_named() -> None:
    text = [component("default: true", version=version) for version in ("v1", "v2")]
    found = await finding(documents(*text))
    assert found.code == "two_defaults"
    assert "shop@v1 and shop@v2" in found.message
    assert found.place.line > 0


# values


async def test_a_required_value_that_the_environment_does_not_give_is_refused() -> None:
    found = await finding(component("values: {team: {required: true}}"))
    assert (found.code, found.place.line) == ("missing_value", 8)


async def test_a_value_that_is_used_and_not_given_is_refused_where_it_is_used() -> None:
    steps = 'policies: [{use: api-key}, {use: headers, with: {request: {set: {X-T: "${team}"}}}}]\n'
    found = await finding(component("values: {team: {}}", policies=steps))
    assert (found.code, found.place.line) == ("missing_value", 7)


async def test_values_fill_configurations_and_conditions() -> None:
    steps = 'policies: [{use: api-key}, {use: respond, with: {status: "${code}"}, when: {plan: "${team}"}}]\n'
    text = component("values: {team: {default: a}, code: {required: true}}", policies=steps)
    step = endpoint(await compiled(text, {"code": 503, "team": "b"})).steps[-1]
    assert (step.config, step.when) == ({"status": 503}, {"plan": "b"})


async def test_the_environment_is_no_part_of_the_revision() -> None:
    text = component("values: {team: {default: a}}")
    one, two = await compiled(text, {"team": "x"}), await compiled(text, {"team": "y"})
    assert one.versions[0].revision == two.versions[0].revision


async def test_steps_outside_of_components_have_no_values() -> None:
    step = '{use: headers, with: {request: {set: {X-T: "${team}"}}}}'
    found = await findings(documents(policy("gateway", step), plan("gold", step), component()), {"team": "a"})
    assert [each.code for each in found] == ["missing_value", "missing_value"]


# kinds and configurations


async def test_an_unknown_kind_names_the_nearest() -> None:
    found = await finding(component(policies="policies:\n  - {use: api-key}\n  - {use: rate-limits}\n"))
    assert (found.code, found.hint) == ("unknown_kind", "Did you mean `rate-limit`?")
    assert (found.place.file, found.place.line, found.place.column) == ("shop.yaml", 9, 5)


@pytest.mark.parametrize(
    ("config", "code", "hint"),
    [
        ("{limt: 1/1m}", "unknown_setting", "Did you mean `limit`?"),
        ("{}", "missing_setting", "Add it under `with`."),
        ("{limit: many}", "invalid_setting", ""),
    ],
)
async def test_a_wrong_configuration_is_refused_with_its_place(config: str, code: str, hint: str) -> None:
    steps = f"policies: [{{use: api-key}}, {{use: rate-limit, with: {config}}}]\n"
    found = {each.code: each for each in await findings(component(policies=steps))}
    assert found[code].hint == hint
    assert str(found[code].place).startswith("shop.yaml:7:")


async def test_a_wrong_setting_deep_inside_is_compared_with_what_stands_there() -> None:
    steps = "policies: [{use: api-key}, {use: headers, with: {request: {sett: {X-A: a}}}}]\n"
    found = await finding(component(policies=steps))
    assert (found.message, found.hint) == ("`headers` has no setting `request.sett`.", "Did you mean `set`?")


async def test_a_wrong_condition_is_refused_with_its_place() -> None:
    found = await finding(component(policies="policies: [{use: api-key}, {use: respond, when: {methd: GET}}]\n"))
    assert found.code == "invalid_condition"
    assert "when.methd" in found.message
    assert found.place.line == 7


async def test_everything_that_is_wrong_is_told_at_once() -> None:
    steps = "policies: [{use: api-key}, {use: moon}, {use: rate-limit}, partner]\n"
    text = documents(component("values: {team: {required: true}}", policies=steps), policy("partner", "base"))
    assert {each.code for each in await findings(text)} == {
        "unknown_kind", "missing_setting", "missing_value", "not_a_step"
    }  # fmt: skip


# plans


async def test_a_plan_that_replaces_what_runs_before_it_is_known_is_refused() -> None:
    found = await findings(documents(component(), plan("gold", "{id: keys, use: anonymous}")))
    assert {(each.code, str(each.place)) for each in found} == {("plan_too_early", "plan gold: policies[0]")}


async def test_a_plan_is_known_behind_the_last_step_that_may_tell_who_calls() -> None:
    steps = "policies: [{use: api-key, when: {method: GET}}, {id: burst, use: respond}, {use: anonymous}]\n"
    text = documents(component(policies=steps), plan("gold", "{id: burst, use: respond}"))
    assert "plan_too_early" in {each.code for each in await findings(text)}


async def test_a_plan_may_replace_what_runs_after_and_add_more() -> None:
    steps = "policies: [{use: api-key}, {id: burst, use: respond}]\n"
    text = documents(component(policies=steps), plan("gold", "{id: burst, use: headers}", "{id: more, use: headers}"))
    assert [step.id for step in (await compiled(text)).plans["gold"]] == ["burst", "more"]


async def test_a_plan_that_a_step_gives_must_be_there() -> None:
    found = await findings(component(policies="policies: [{use: anonymous, with: {plan: free}}]\n"))
    assert {each.code for each in found} == {"unknown_plan"}
    assert found[0].place.line == 7


# topics and tables


async def test_a_topic_has_a_status_url_unless_it_is_taken() -> None:
    topic = "kind: Topic\nname: events\n"
    route = "'POST /e': {call: {topic: events}}"
    keys = [
        each.key for each in (await compiled(documents(component(f"rest: {{{route}}}"), topic))).versions[0].endpoints
    ]
    assert keys == ["POST /e", "GET /e/{message_id}", "GET /openapi.json"]
    own = "operations: {a: {fixed: 1, input: {id: int32}, output: int32}}\n"
    text = documents(component(f"{own}rest: {{{route}, 'GET /e/{{id}}': a}}"), topic)
    keys = [each.key for each in (await compiled(text)).versions[0].endpoints]
    assert keys == ["POST /e", "GET /e/{id}", "GET /openapi.json"]


async def test_navigation_follows_the_foreign_key_of_either_side() -> None:
    sets = "Orders: {table: ledger.orders, navigation: {Lines: {to: Lines}}}"
    sets += ", Lines: {table: ledger.lines, navigation: {Order: {to: Orders}}}"
    odata = (await compiled(component(SQL + f"odata: {{entity_sets: {{{sets}}}}}"))).versions[0].odata
    assert odata is not None
    lines, order = (odata.entity_sets[name].navigation for name in ("Orders", "Lines"))
    assert (lines["Lines"].many, lines["Lines"].on) == (True, (("id", "order_id"),))
    assert (order["Order"].many, order["Order"].on) == (False, (("order_id", "id"),))


async def test_navigation_within_one_table_needs_a_direction() -> None:
    def text(navigation: str) -> str:
        return component(
            SQL + f"odata: {{entity_sets: {{Orders: {{table: ledger.orders, navigation: {navigation}}}}}}}"
        )

    found = await finding(text("{Next: {to: Orders}}"))
    assert (found.code, found.hint) == ("navigation", "Say `many: true` or `many: false`.")
    odata = (await compiled(text("{Up: {to: Orders, many: false}, Down: {to: Orders, many: true}}"))).versions[0].odata
    assert odata is not None
    assert {name: each.on for name, each in odata.entity_sets["Orders"].navigation.items()} == {
        "Up": (("parent", "id"),),
        "Down": (("id", "parent"),),
    }


# the result


async def test_compiling_is_deterministic_and_a_dump_loads_to_the_same_hash() -> None:
    first, second = component(), component(name="other", path="/other")
    one = await compiled(documents(policy("gateway", "{use: cors, with: {origins: ['*']}}"), first, second))
    two = await compiled(documents(second, first, policy("gateway", "{use: cors, with: {origins: ['*']}}")))
    three = await compiled(documents(policy("gateway", "{use: cors, with: {origins: ['*']}}"), first, second))
    assert one.dump() == three.dump()
    assert [version.name for version in one.versions] == [version.name for version in two.versions]
    assert load(one.dump()) == one
    assert load(one.dump()).hash == one.hash


async def test_drafts_are_not_served() -> None:
    assert (await compiled(component("lifecycle: {status: draft}"))).versions == ()
