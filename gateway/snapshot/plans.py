"""Plans over chains: what a plan's steps may replace and add, so that a running exchange can go on in the plan's
variant of its chain, in the place where it was told who calls. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.core.findings import Finding
from gateway.core.kinds import Kinds, Stage
from gateway.snapshot.configs import place_of
from gateway.snapshot.spec import EndpointSpec, StepSpec, VersionSpec
from gateway.snapshot.stages import stage

Plans = Mapping[str, tuple[StepSpec, ...]]


def check_plans(plans: Plans, versions: Sequence[VersionSpec], kinds: Kinds) -> list[Finding]:
    """Everything that is wrong between the plans and the chains that they may meet."""
    findings: list[Finding] = []
    for version in versions:
        for endpoint in version.endpoints:
            chain = _Chain(version, endpoint, kinds)
            for steps in plans.values():
                for step in steps:
                    findings += chain.check(step)
    return findings


def check_plan_names(plans: Plans, versions: Sequence[VersionSpec], kinds: Kinds) -> list[Finding]:
    """Steps that give callers a plan which is not there: they would run without its limits."""
    findings = []
    for version in versions:
        for endpoint in version.endpoints:
            for step in endpoint.steps:
                plan = step.config.get("plan") if "plan" in _settings(step, kinds) else None
                if isinstance(plan, str) and plan not in plans:
                    message = f"The step `{step.id}` gives the plan `{plan}`, which is not there."
                    known = ", ".join(plans) or "none"
                    hint = f"Apply a document of kind Plan first. There are: {known}."
                    findings.append(Finding(place_of(step.place), "unknown_plan", message, hint))
    return findings


def _settings(step: StepSpec, kinds: Kinds) -> Mapping[str, object]:
    kind = kinds.get(step.use)
    return kind.config.model_fields if kind is not None else {}


class _Chain:
    """One endpoint's chain in the order in which it runs."""

    def __init__(self, version: VersionSpec, endpoint: EndpointSpec, kinds: Kinds) -> None:
        self.name = f"{version.name} {endpoint.key}"
        self.kinds = kinds
        ordered = sorted(endpoint.steps, key=self.stage)
        self.by_id = {step.id: step for step in ordered}
        telling = [index for index, step in enumerate(ordered) if self._protects(step)]
        self.early = {step.id for step in ordered[: telling[-1] + 1]} if telling else set()
        self.told = self.stage(ordered[telling[-1]]) if telling else Stage.HEAD

    def stage(self, step: StepSpec) -> Stage:
        return stage(step, self.kinds)

    def _protects(self, step: StepSpec) -> bool:
        kind = self.kinds.get(step.use)
        return kind is not None and kind.protects

    def check(self, step: StepSpec) -> Iterator[Finding]:
        place, name = place_of(step.place), f"The step `{step.id}` of {step.scope}"
        own_id = "Give the plan's step another id."
        inherited = self.by_id.get(step.id)
        if inherited is None:
            if self.stage(step) < self.told:
                message = f"{name} would run before {self.name} knows the plan."
                yield Finding(place, "plan_too_early", message, "Authenticate by a kind that needs only the head.")
        elif inherited.locked:
            message = f"{name} replaces one of {inherited.scope} that is locked."
            yield Finding(place, "locked_step", message, own_id)
        elif step.id in self.early:
            message = f"{name} replaces one of {self.name} that runs before the plan is known."
            yield Finding(place, "plan_too_early", message, own_id)
        elif self.stage(inherited) != self.stage(step):
            message = f"{name} replaces one of {self.name} that runs at another stage (`{inherited.use}`)."
            yield Finding(place, "plan_stage", message, own_id)
