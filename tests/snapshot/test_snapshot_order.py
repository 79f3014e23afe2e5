"""The order of chains: DESIGN 5."""

from __future__ import annotations

import pytest

from gateway.manifest.documents import Policy
from gateway.manifest.loading import load_text
from gateway.snapshot.order import NamedPolicy
from tests.snapshot.snapshot_harness import compiled, component, documents, endpoint, finding, ids, plan, policy

BURST = "{id: burst, use: rate-limit, with: {limit: 10/1m}}"
TEAM = "{id: team, use: headers, with: {request: {set: {X-Team: a}}}}"


def with_steps(*steps: str) -> str:
    """A component with the steps `keys` and `burst`, and an endpoint with steps of its own."""
    inner = f"rest: {{GET /a: {{call: a, policies: [{', '.join(steps)}]}}}}"
    return component(inner, policies=f"policies: [{{id: keys, use: api-key}}, {BURST}]\n")


async def test_without_base_the_outer_steps_come_first() -> None:
    assert ids(await compiled(with_steps(TEAM))) == ["keys", "burst", "team"]


async def test_base_stands_for_the_outer_steps() -> None:
    steps = (TEAM, "base", "{id: last, use: respond}")
    assert ids(await compiled(with_steps(*steps))) == ["team", "keys", "burst", "last"]


async def test_an_inherited_id_replaces_in_place() -> None:
    snapshot = await compiled(with_steps(TEAM, "{id: keys, use: anonymous}"))
    assert ids(snapshot) == ["keys", "burst", "team"]
    assert [step.use for step in endpoint(snapshot).steps] == ["anonymous", "rate-limit", "headers"]


async def test_a_step_without_an_id_has_its_kinds_name() -> None:
    assert ids(await compiled(with_steps("{use: respond}"))) == ["keys", "burst", "respond"]


async def test_drop_takes_an_inherited_step_out() -> None:
    assert ids(await compiled(with_steps("{drop: burst}", TEAM))) == ["keys", "team"]


async def test_the_same_kind_may_appear_often() -> None:
    assert ids(await compiled(with_steps("{id: two, use: respond}", "{id: three, use: respond}")))[-2:] == [
        "two",
        "three",
    ]


async def test_gateway_steps_are_the_first() -> None:
    snapshot = await compiled(documents(policy("gateway", TEAM), with_steps("{use: respond}")))
    assert ids(snapshot) == ["team", "keys", "burst", "respond"]
    assert endpoint(snapshot).steps[0].scope == "gateway"


@pytest.mark.parametrize(
    ("steps", "code", "place"),
    [
        (("{drop: brust}",), "unknown_step", "(rest.GET /a.policies[0])"),
        (("base", "base"), "base_twice", "(rest.GET /a.policies[1])"),
        ((TEAM, TEAM), "duplicate_step", "(rest.GET /a.policies[1])"),
        (("{id: keys, use: anonymous}", "{id: keys, use: anonymous}"), "duplicate_step", "(rest.GET /a.policies[1])"),
        (("{drop: burst}", BURST), "dropped_and_replaced", "(rest.GET /a.policies[0])"),
    ],
)
async def test_a_list_that_contradicts_itself_is_refused_with_its_place(
    steps: tuple[str, ...], code: str, place: str
) -> None:
    found = await finding(with_steps(*steps))
    assert found.code == code
    assert str(found.place).startswith("shop.yaml:7:")
    assert str(found.place).endswith(place)


async def test_a_drop_with_a_typing_error_names_the_nearest_step() -> None:
    assert (await finding(with_steps("{drop: brust}"))).hint == "Did you mean `burst`?"


@pytest.mark.parametrize("step", ["{drop: team}", TEAM])
async def test_a_locked_step_can_be_neither_replaced_nor_dropped(step: str) -> None:
    locked = "{id: team, use: headers, locked: true, with: {request: {set: {X-Team: a}}}}"
    found = await finding(documents(policy("gateway", locked), with_steps(step)))
    assert found.code == "locked_step"
    assert found.place.line > 0


async def test_a_plan_cannot_replace_a_locked_step() -> None:
    locked = "{id: team, use: headers, locked: true, with: {request: {set: {X-Team: a}}}}"
    text = documents(policy("gateway", locked), plan("gold", TEAM), with_steps("{use: respond}"))
    assert (await finding(text)).code == "locked_step"


async def test_only_gateway_steps_are_locked() -> None:
    text = documents(policy("partner", "{use: respond, locked: true}"), with_steps("partner"))
    assert (await finding(text)).code == "locked_outside_gateway"


async def test_steps_of_a_named_policy_have_its_name_and_its_scope() -> None:
    snapshot = await compiled(documents(policy("partner", TEAM), with_steps("partner")))
    step = endpoint(snapshot).steps[-1]
    assert (step.id, step.scope) == ("partner/team", "policy partner")


async def test_a_step_of_a_named_policy_is_replaced_and_dropped_by_its_long_id() -> None:
    partner = policy("partner", TEAM, "{id: wait, use: respond}")
    inner = "[{drop: partner/wait}, {id: partner/team, use: anonymous}]"
    text = component(
        f"rest: {{GET /a: {{call: a, policies: {inner}}}}}", policies="policies: [partner, {use: api-key}]\n"
    )
    snapshot = await compiled(documents(partner, text))
    assert [(step.id, step.use) for step in endpoint(snapshot).steps] == [
        ("partner/team", "anonymous"),
        ("api-key", "api-key"),
    ]


def revisions(pinned: int | None = None) -> dict[str, NamedPolicy]:
    """A policy with the revisions 1 and 2, of which 2 is current."""
    steps = {}
    for number in (1, 2):
        document = load_text(policy("partner", f"{{id: r{number}, use: respond}}"), "p.yaml")[0].document
        assert isinstance(document, Policy)
        steps[number] = document.steps
    return {"partner": NamedPolicy("partner", 2, steps)}


async def test_a_named_policy_is_followed_or_pinned() -> None:
    assert ids(await compiled(with_steps("partner"), policies=revisions()))[-1] == "partner/r2"
    assert ids(await compiled(with_steps("partner@1"), policies=revisions()))[-1] == "partner/r1"


async def test_a_roll_back_pins_what_is_followed_for_its_own_component_only() -> None:
    text = documents(
        with_steps("partner"), component(name="other", path="/other", policies="policies: [{use: api-key}, partner]\n")
    )
    snapshot = await compiled(text, policies=revisions(), pins={"shop@v1": {"partner": 1}})
    last = {version.name: version.endpoints[0].steps[-1].id for version in snapshot.versions}
    assert last == {"shop@v1": "partner/r1", "other@v1": "partner/r2"}


async def test_a_revision_that_is_not_there_is_refused() -> None:
    policies = revisions()
    gone = NamedPolicy("partner", 2, {2: policies["partner"].revisions[2]})
    found = await finding(with_steps("partner@1"), policies={"partner": gone})
    assert (found.code, found.hint) == ("unknown_policy_revision", "It has: 2.")


async def test_a_named_policy_holds_steps_only() -> None:
    text = documents(policy("partner", "base", "{use: respond}"), with_steps("partner"))
    assert (await finding(text)).code == "not_a_step"


async def test_a_counter_keeps_its_identity_over_revisions() -> None:
    """DESIGN 5: publishing resets nobody's quota"""
    one, two = [await compiled(with_steps(TEAM) + f"title: {title}\n") for title in ("One", "Two")]
    assert one.versions[0].revision != two.versions[0].revision
    scopes = [[(step.scope, step.id) for step in endpoint(each).steps] for each in (one, two)]
    assert scopes[0] == scopes[1] == [("shop@v1", "keys"), ("shop@v1", "burst"), ("shop@v1 GET /a", "team")]
