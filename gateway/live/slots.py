"""Configured steps, built: each in its slot of a chain, behind its condition."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.core.conditions import compile_condition
from gateway.core.errors import BadRequest, InternalError, Problem
from gateway.core.exchange import Exchange, Reply, Step, StepResult
from gateway.core.kinds import Built, Kinds, Services, Site, Stage
from gateway.core.secrets import Secret
from gateway.manifest.environment import reveal, secret_names
from gateway.snapshot.spec import StepSpec
from gateway.snapshot.stages import by_operation, stage

log: Final = logging.getLogger("gateway")


@dataclass(frozen=True, slots=True)
class Slot:
    """One step in its place; `run` is what the chain loop calls there."""

    spec: StepSpec
    stage: Stage
    reply_stage: Stage
    built: Built
    run: Step
    by_operation: bool = False
    once: bool = False  # it is not run for a copy of a request


@dataclass(frozen=True, slots=True)
class Builder:
    """What building needs: the kinds, what steps may hold, and the secrets, revealed here and nowhere else."""

    kinds: Kinds
    services: Services
    secrets: Mapping[str, Secret]


Contract = Callable[[str], tuple[Any, Any, Mapping[str, Any]] | None]


class Shared:
    """The slots of one version. A step that stands before many endpoints is built once for all of them, unless its
    kind asks for the endpoint: a thousand routes under one list of policies hold one of each. `openapi` makes the
    version's document, once, for the kinds that ask for it; `secrets` are those that its steps were given."""

    def __init__(
        self,
        openapi: Callable[[], Mapping[str, Any]] | None = None,
        contract: Contract | None = None,
        backend: Callable[[str], Any] | None = None,
        on_close: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.openapi = openapi
        self.contract = contract
        self.backend = backend
        self.secrets: set[Secret] = set()
        self.on_close = on_close
        self._slots: dict[tuple[str, str], list[Slot]] = {}

    def find(self, step: StepSpec) -> Slot | None:
        return next((each for each in self._slots.get((step.scope, step.id), ()) if each.spec == step), None)

    def keep(self, slot: Slot) -> None:
        self._slots.setdefault((slot.spec.scope, slot.spec.id), []).append(slot)


class _Place(Site):
    """Notes whether the endpoint was asked for while the step was built; afterwards it must not be."""

    __slots__ = ("_at", "asked", "built")
    _at: str
    asked: bool
    built: bool

    @property
    def endpoint(self) -> str:
        if self.built and not self.asked:
            raise RuntimeError("a kind asks for the endpoint of its site in `build`, not later")
        object.__setattr__(self, "asked", True)
        return self._at

    @endpoint.setter
    def endpoint(self, value: str) -> None:
        """At construction."""
        for name, content in (("_at", value), ("asked", False), ("built", False)):
            object.__setattr__(self, name, content)


def build_slots(
    steps: Iterable[StepSpec], component: str, version: str, endpoint: str, builder: Builder, shared: Shared
) -> tuple[Slot, ...]:
    """Slots in written order, cut by stage: those that need the head only, then the body, then the call."""
    slots = [shared.find(step) or _slot(step, component, version, endpoint, builder, shared) for step in steps]
    return tuple(sorted(slots, key=lambda slot: slot.stage))


def _slot(step: StepSpec, component: str, version: str, endpoint: str, builder: Builder, shared: Shared) -> Slot:
    kind = builder.kinds[step.use]
    config = kind.config.model_validate(reveal(step.config, builder.secrets))
    shared.secrets |= {builder.secrets[name] for name in secret_names(step.config)}
    site = _Place(
        component,
        version,
        endpoint,
        step.scope,
        step.id,
        builder.services,
        kinds=builder.kinds,
        openapi=shared.openapi,
        contract=shared.contract,
        secrets=shared.secrets,
        backend=shared.backend,
        on_close=shared.on_close,
    )
    built = kind.build(config, site)
    object.__setattr__(site, "built", True)
    run = built.step or passes
    if step.when is not None:
        run = _guarded(run, step, kind.protects, built.otherwise or passes)
    slot = Slot(
        step,
        stage(step, builder.kinds),
        kind.reply_stage,
        built,
        run,
        by_operation(step, builder.kinds),
        not kind.runs_for_copies,
    )
    if not site.asked:
        shared.keep(slot)
    return slot


def passes(_exchange: Exchange) -> None:
    """The step of a kind that only works on the way out."""


def _guarded(run: Step, step: StepSpec, protects: bool, otherwise: Callable[[Exchange], None]) -> Step:
    """A condition that errs never opens a door: a protecting step runs, any other is a 500 (DESIGN 5), or a 400
    where the request cannot be read."""
    holds = compile_condition(step.when or {})

    def guarded(exchange: Exchange) -> StepResult:
        try:
            applies = holds(exchange)
        except Exception as error:
            if not protects:
                if isinstance(error, BadRequest):  # the request cannot be read: its client hears of it, not the log
                    raise
                log.error("request %s: `when` of %s/%s failed", exchange.id, step.scope, step.id, exc_info=error)
                raise InternalError(f"The condition of the step {step.id} could not be decided.") from error
            applies = True
        if not applies:
            exchange.skipped |= 1 << exchange.at
            otherwise(exchange)
            return None
        return run(exchange)  # type: ignore[return-value]  # what it returns goes to the chain loop as it is

    return guarded


def refuse_with(problem: Callable[[Exchange], Problem]) -> Step:
    """A step that always refuses."""

    def refuse(exchange: Exchange) -> Reply:
        raise problem(exchange)

    return refuse
