"""Bundles, policies, plans and topics in, one snapshot out; every finding at once. Pure: no I/O, no clock.

The parts: `version` compiles one bundle, `order` its chains, `urls` checks the URL space of all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.kinds import BackendKinds, Kinds
from gateway.manifest.bundle import Bundle
from gateway.manifest.documents import Plan, Topic
from gateway.manifest.environment import fill
from gateway.snapshot.configs import check_steps, place_of
from gateway.snapshot.order import GATEWAY, NamedPolicy, Ordering, effective, expand_policy
from gateway.snapshot.plans import check_plan_names, check_plans
from gateway.snapshot.spec import Snapshot, StepSpec, TopicSpec, VersionSpec
from gateway.snapshot.urls import check_urls
from gateway.snapshot.version import VersionCompiler

Values = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Source:
    """Everything that is active, as the store has it. `pins` holds, per component@version, the named policies that a
    roll-back pinned."""

    bundles: Sequence[Bundle] = ()
    policies: Mapping[str, NamedPolicy] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    topics: Mapping[str, Topic] = field(default_factory=dict)
    pins: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def compile(source: Source, values: Values, kinds: Kinds, backend_kinds: BackendKinds) -> Snapshot:
    """The snapshot. DocumentsRefused with every finding when it cannot be made."""
    findings: list[Finding] = []
    gateway = _gateway_steps(source, kinds, findings)
    plans = _plans(source, kinds, findings)
    topics = {
        name: TopicSpec(
            name=name, message=topic.message if isinstance(topic.message, dict) else None, max_length=topic.max_length
        )
        for name, topic in sorted(source.topics.items())
    }
    versions: list[VersionSpec] = []
    for bundle in sorted(source.bundles, key=lambda each: each.name):
        if bundle.manifest.lifecycle.status == "draft":
            continue
        ordering = Ordering(source.policies, source.pins.get(bundle.name, {}))
        compiler = VersionCompiler(bundle, gateway, values, kinds, backend_kinds, topics, ordering)
        versions.append(compiler.compile())
        findings += ordering.findings
    findings += check_urls(versions, {bundle.name: bundle.places for bundle in source.bundles})
    findings += check_plans(plans, versions, kinds)
    findings += check_plan_names(plans, versions, kinds)
    if findings:
        raise DocumentsRefused(findings)
    return Snapshot(
        versions=tuple(versions),
        plans=plans,
        gateway=gateway,
        topics=topics,
        policies={name: policy.revision for name, policy in sorted(source.policies.items())},
    )


def _gateway_steps(source: Source, kinds: Kinds, findings: list[Finding]) -> tuple[StepSpec, ...]:
    policy = source.policies.get(GATEWAY)
    if policy is None:
        return ()
    ordering = Ordering(source.policies)
    steps = expand_policy(GATEWAY, policy.revisions[policy.revision], Place(path="policy gateway"), ordering)
    findings += ordering.findings
    return _complete(steps, kinds, findings)


def _plans(source: Source, kinds: Kinds, findings: list[Finding]) -> dict[str, tuple[StepSpec, ...]]:
    """A plan's steps have the plan as their scope, so that a subject's counters are the plan's own."""
    found = {}
    for name, plan in sorted(source.plans.items()):
        ordering = Ordering(source.policies)
        places = [Place(path=f"plan {name}: policies[{index}]") for index in range(len(plan.policies))]
        steps = effective((), plan.policies, f"plan {name}", places, ordering)
        findings += ordering.findings
        found[name] = _complete(steps, kinds, findings)
    return found


def _complete(steps: Sequence[StepSpec], kinds: Kinds, findings: list[Finding]) -> tuple[StepSpec, ...]:
    """Steps outside of every component: nothing declares values there, so that a `${name}` is refused."""
    filled = []
    for step in steps:
        try:
            filled.append(step.model_copy(update={"config": fill(step.config, {}), "when": fill(step.when, {})}))
        except LookupError:
            message = f"The step `{step.id}` of {step.scope} refers to a value; only components declare values."
            findings.append(Finding(place_of(step.place), "missing_value", message, "Write the value itself."))
    findings += check_steps(filled, kinds)
    return tuple(filled)
