"""The rules of merging, for any two lists."""

from __future__ import annotations

from hypothesis import given, strategies

from gateway.core.findings import Place
from gateway.manifest.documents import Drop, Step, Steps
from gateway.snapshot.order import Ordering, effective, overlay
from gateway.snapshot.spec import StepSpec

NAMES = strategies.sampled_from(["a", "b", "c", "d", "e"])
OUTER = strategies.lists(
    strategies.builds(
        lambda id, locked: StepSpec(id=id, use="outer", scope="gateway", locked=locked), NAMES, strategies.booleans()
    ),
    unique_by=lambda step: step.id,
)
INNER = strategies.lists(
    strategies.just("base")
    | strategies.builds(lambda name: Drop(drop=name), NAMES)
    | strategies.builds(lambda name: Step(id=name, use="inner"), NAMES),
    max_size=6,
)


def merged(outer: list[StepSpec], inner: Steps) -> tuple[tuple[StepSpec, ...], Ordering]:
    ordering = Ordering({})
    places = [Place(path=str(index)) for index in range(len(inner))]
    return effective(outer, inner, "shop@v1", places, ordering), ordering


@given(outer=OUTER, inner=INNER)
def test_locked_steps_stay_as_they_are_whatever_inner_lists_say(outer: list[StepSpec], inner: Steps) -> None:
    steps, _ = merged(outer, inner)
    assert [step for step in steps if step.locked] == [step for step in outer if step.locked]


@given(outer=OUTER, inner=INNER)
def test_a_list_that_is_accepted_is_obeyed(outer: list[StepSpec], inner: Steps) -> None:
    steps, ordering = merged(outer, inner)
    if ordering.findings:
        return
    ids = [step.id for step in steps]
    dropped = {item.drop for item in inner if isinstance(item, Drop)}
    written = {str(item.id) for item in inner if isinstance(item, Step)}
    assert len(set(ids)) == len(ids)
    assert set(ids) == ({step.id for step in outer} - dropped) | written
    assert {step.id for step in steps if step.use == "inner"} == written
    inherited = [step.id for step in outer if step.id not in dropped]
    assert [id for id in ids if id in inherited] == inherited
    assert all(step.scope == ("shop@v1" if step.use == "inner" else "gateway") for step in steps)


@given(outer=OUTER, plan=OUTER)
def test_a_plan_moves_no_step_of_the_chain(outer: list[StepSpec], plan: list[StepSpec]) -> None:
    replaced, appended = overlay(outer, plan)
    assert [step.id for step in replaced] == [step.id for step in outer]
    assert {step.id for step in plan} <= {step.id for step in (*replaced, *appended)}
    assert not {step.id for step in replaced} & {step.id for step in appended}
