"""A plan's `limits` as steps, which stand before its own. Their ids are fixed, and the plan is their scope: so counters
stay whatever else the plan says (DESIGN, section 5). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.manifest.documents import Plan, Step, Steps


def limit_steps(plan: Plan) -> Iterator[tuple[str, Step]]:
    """The name of a limit, and the step that it becomes. A request that is too large costs nothing of the others."""
    limits = plan.limits
    if limits.message_size is not None:
        yield "message_size", _step("message-size", {"limit": limits.message_size})
    if limits.rate is not None:
        yield "rate", _step("rate-limit", {"limit": limits.rate, "by": "application"})
    if limits.quota is not None:
        yield "quota", _step("quota", {**limits.quota.model_dump(exclude_none=True), "by": "application"})


def _step(kind: str, config: dict[str, Any]) -> Step:
    return Step.model_validate({"id": f"plan-{kind}", "use": kind, "with": config})


def plan_steps(plan: Plan) -> tuple[Steps, list[str]]:
    """Everything that a plan does, and the path of each in its document."""
    limits = list(limit_steps(plan))
    steps: Steps = [*(step for _, step in limits), *plan.policies]
    own = [f"policies[{index}]" for index in range(len(plan.policies))]
    return steps, [*(f"limits.{name}" for name, _ in limits), *own]
