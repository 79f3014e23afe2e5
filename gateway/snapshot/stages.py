"""Where a step stands in its chain: its stage, and whether it waits for the operation that runs. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from gateway.core.conditions import names_operation
from gateway.core.kinds import Kinds, Stage
from gateway.snapshot.spec import StepSpec


def stage(step: StepSpec, kinds: Kinds) -> Stage:
    """HEAD for a kind that is not known, which is refused elsewhere."""
    kind = kinds.get(step.use)
    if kind is None:
        return Stage.HEAD
    return kind.stage if kind.stage_of is None else kind.stage_of(step.config)


def by_operation(step: StepSpec, kinds: Kinds) -> bool:
    """Whether it decides on the operation that runs: by its kind, by one that it holds, or by its condition."""
    kind = kinds.get(step.use)
    if kind is not None and kind.by_operation_of is not None and kind.by_operation_of(step.config):
        return True
    return any(kinds[name].by_operation for name in uses(step, kinds)) or names_operation(step.when)


def together(step: StepSpec, kinds: Kinds) -> Hashable:
    """What neighbours have in common that are done in one go; None for a step that stands for itself."""
    kind = kinds.get(step.use)
    if kind is None or kind.together is None or step.when is not None:
        return None
    try:
        return kind.together(kind.config.model_validate(step.config))
    except ValidationError:  # refused elsewhere
        return None


def uses(step: StepSpec, kinds: Kinds) -> Iterator[str]:
    """The kinds of a step and of those that it holds, as far as they are known."""
    kind = kinds.get(step.use)
    if kind is None:
        return
    yield step.use
    for _, use, _ in held(kind.holds, step.config):
        if use in kinds:
            yield use


def held(setting: str, config: Mapping[str, Any]) -> list[tuple[int, str, Mapping[str, Any]]]:
    """(index, kind, configuration) of the steps that a step holds; those that are no steps are left to its model."""
    inner = config.get(setting) if setting else None
    found = []
    for index, each in enumerate(inner if isinstance(inner, list | tuple) else ()):
        if isinstance(each, Mapping):
            settings = each.get("with")
            found.append((index, str(each.get("use", "")), settings if isinstance(settings, Mapping) else {}))
    return found


def before_dispatch(lists: Sequence[Sequence[StepSpec]], kinds: Kinds) -> int:
    """How many steps all endpoints of a mount begin with that need neither more than the head nor the operation."""
    count = 0
    ordered = [sorted(steps, key=lambda step: stage(step, kinds)) for steps in lists]
    for steps in zip(*ordered, strict=False):
        first = steps[0]
        if stage(first, kinds) != Stage.HEAD or by_operation(first, kinds) or any(step != first for step in steps):
            break
        count += 1
    return count
