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
from gateway.snapshot.configs import check_steps
from gateway.snapshot.order import GATEWAY, NamedPolicy, Ordering, effective, expand_policy
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
    findings += check_urls(versions)
    findings += _check_plans_order(plans, versions, kinds)
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
    findings += check_steps(steps, kinds)
    return steps


def _plans(source: Source, kinds: Kinds, findings: list[Finding]) -> dict[str, tuple[StepSpec, ...]]:
    """A plan's steps have the plan as their scope, so that a subject's counters are the plan's own."""
    found = {}
    for name, plan in sorted(source.plans.items()):
        ordering = Ordering(source.policies)
        places = [Place(path=f"plan {name}: policies[{index}]") for index in range(len(plan.policies))]
        found[name] = effective((), plan.policies, f"plan {name}", places, ordering)
        findings += ordering.findings
        findings += check_steps(found[name], kinds)
    return found


def _check_plans_order(
    plans: Mapping[str, tuple[StepSpec, ...]], versions: Sequence[VersionSpec], kinds: Kinds
) -> list[Finding]:
    """A plan is known once a step has told who calls: what it replaces must stand behind that step."""
    findings = []
    for version in versions:
        for endpoint in version.endpoints:
            known = [index for index, step in enumerate(endpoint.steps) if _protects(step, kinds)]
            early = {step.id for step in endpoint.steps[: known[0] + 1]} if known else set()
            for name, steps in plans.items():
                findings += [
                    Finding(
                        Place(path=f"plan {name}"),
                        "plan_too_early",
                        f"The step `{step.id}` replaces one of {version.name} {endpoint.key} that runs before the "
                        "plan is known.",
                        "Give the plan's step another id.",
                    )
                    for step in steps
                    if step.id in early
                ]
    return findings


def _protects(step: StepSpec, kinds: Kinds) -> bool:
    kind = kinds.get(step.use)
    return kind is not None and kind.protects
