"""Bundles, policies, plans and topics in, one snapshot out; every finding at once. Pure: no I/O, no clock.

The parts: `version` compiles one bundle, `order` its chains, `urls` checks the URL space of all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.kinds import BackendKinds, Kinds
from gateway.manifest.bundle import Bundle
from gateway.manifest.documents import Lifecycle, Plan, Topic
from gateway.manifest.environment import fill
from gateway.snapshot.answering import check_answering
from gateway.snapshot.configs import check_steps, place_of
from gateway.snapshot.lifecycle import lifecycle_spec
from gateway.snapshot.memo import Ground, Memo, Watched
from gateway.snapshot.order import GATEWAY, NamedPolicy, Ordering, effective, expand_policy
from gateway.snapshot.plan_limits import plan_steps
from gateway.snapshot.plans import check_plan_names, check_plans
from gateway.snapshot.spec import CANARY, CanarySpec, Snapshot, StepSpec, TopicSpec, VersionSpec
from gateway.snapshot.urls import check_canary, check_urls, check_version
from gateway.snapshot.version import VersionCompiler

Values = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Source:
    """Everything that is active, as the store has it. Per component@version, `pins` holds the named policies that a
    roll-back pinned, `lifecycles` what was set in place of the manifest's own, `canaries` the revisions beside the
    active ones, and who gets them."""

    bundles: Sequence[Bundle] = ()
    policies: Mapping[str, NamedPolicy] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    topics: Mapping[str, Topic] = field(default_factory=dict)
    pins: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    lifecycles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    canaries: Mapping[str, tuple[Bundle, CanarySpec]] = field(default_factory=dict)


def compile(
    source: Source, values: Values, kinds: Kinds, backend_kinds: BackendKinds, memo: Memo | None = None
) -> Snapshot:
    """The snapshot. DocumentsRefused with every finding when it cannot be made. Versions that `memo` knows are taken
    from there, as the same objects."""
    memo = Memo() if memo is None else memo
    findings: list[Finding] = []
    ground = Ground(
        _gateway_steps(source, kinds, findings), _plans(source, kinds, findings), source.policies, _topics(source)
    )
    ground = memo.begin((dict(values), kinds, backend_kinds), ground)
    made = _Versions(source, ground, values, kinds, backend_kinds, memo)
    versions = made.compile()
    beside = made.canaries({each.name: each for each in versions})
    findings += made.findings
    findings += check_urls(versions, {bundle.name: bundle.places for bundle in made.bundles})
    memo.end({bundle.name for bundle in made.bundles})
    if findings:
        raise DocumentsRefused(findings)
    return Snapshot(
        versions=(*versions, *beside),
        plans=dict(ground.plans),
        gateway=ground.gateway,
        topics=dict(ground.topics),
        policies={name: policy.revision for name, policy in sorted(source.policies.items())},
        canaries={
            each.name.removesuffix(CANARY): source.canaries[each.name.removesuffix(CANARY)][1] for each in beside
        },
    )


@dataclass
class _Versions:
    """Every version, remembered or compiled, with what is wrong with each by itself."""

    source: Source
    ground: Ground
    values: Values
    kinds: Kinds
    backend_kinds: BackendKinds
    memo: Memo
    findings: list[Finding] = field(default_factory=list)

    @cached_property
    def bundles(self) -> list[Bundle]:
        live = [bundle for bundle in self.source.bundles if bundle.manifest.lifecycle.status != "draft"]
        return sorted(live, key=lambda each: each.name)

    def compile(self) -> list[VersionSpec]:
        found = []
        for bundle in self.bundles:
            pins = self.source.pins.get(bundle.name, {})
            spec = self.memo.find(bundle, pins, self.ground) or self._compiled(bundle, pins)
            found.append(self._as_set(spec))
        return found

    def canaries(self, active: Mapping[str, VersionSpec]) -> list[VersionSpec]:
        """The revisions beside active ones. Only the active one hears messages, as each is delivered once."""
        found = []
        for name, (bundle, _) in sorted(self.source.canaries.items()):
            if name in active:
                spec = self.memo.find(bundle, {}, self.ground) or self._compiled(bundle, {})
                self.findings += check_canary(active[name], spec, bundle)
                update = {"canary": True, "listeners": {}, "default": False}
                found.append(self.memo.derive(self._as_set(spec), update))
        return found

    def _as_set(self, spec: VersionSpec) -> VersionSpec:
        """With the life cycle that was set on the version, if there is one."""
        written = self.source.lifecycles.get(spec.name)
        if written is None:
            return spec
        life = lifecycle_spec(Lifecycle.model_validate(dict(written)))
        return self.memo.derive(spec, {"lifecycle": life})

    def _compiled(self, bundle: Bundle, pins: Mapping[str, int]) -> VersionSpec:
        self.memo.compiled += 1
        policies, topics = Watched(self.ground.policies), Watched(self.ground.topics)
        ordering = Ordering(policies, pins)
        gateway = self.ground.gateway
        compiler = VersionCompiler(bundle, gateway, self.values, self.kinds, self.backend_kinds, topics, ordering)
        version = compiler.compile()
        findings = [*ordering.findings, *check_version(version)]
        findings += check_plans(self.ground.plans, [version], self.kinds)
        findings += check_plan_names(self.ground.plans, [version], self.kinds)
        findings += check_answering(self.ground.plans, version, self.kinds)
        if findings:
            self.findings += findings
            return version
        return self.memo.keep(bundle, pins, self.ground, policies.seen, topics.seen, version)


def _topics(source: Source) -> dict[str, TopicSpec]:
    return {
        name: TopicSpec(
            name=name, message=topic.message if isinstance(topic.message, dict) else None, max_length=topic.max_length
        )
        for name, topic in sorted(source.topics.items())
    }


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
        written, paths = plan_steps(plan)
        places = [Place(path=f"plan {name}: {path}") for path in paths]
        steps = effective((), written, f"plan {name}", places, ordering)
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
