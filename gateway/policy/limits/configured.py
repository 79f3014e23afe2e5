"""What the configurations of limits have in common, and what a step of one counts."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Protocol

from gateway.core.kinds import Site
from gateway.policy.limits.costs import Cost, CostFrom, cost_of, told_by
from gateway.policy.limits.limiting import Limiting, OnStoreLoss
from gateway.policy.limits.subjects import By, subject_of
from gateway.policy.limits.told import Told


class Limited(Protocol):
    """What the configuration of every limit says."""

    @property
    def by(self) -> By: ...
    @property
    def on_store_loss(self) -> OnStoreLoss: ...
    @property
    def headers(self) -> bool: ...


def together(config: Limited) -> Hashable:
    """Limits of the same are decided together, where they stand side by side."""
    return config.by, config.on_store_loss


def limiting(config: Limited, site: Site, algorithm: str, rules: tuple[Told, ...]) -> Limiting:
    """What a step of that configuration counts, each request as one. `algorithm` is a part of the counter's name."""
    return Limiting(
        name=f"{site.counter}:{algorithm}:",
        rules=rules,
        key=together(config),
        subject=subject_of(config.by, site),
        counters=site.services.named("counters"),
        closed=config.on_store_loss == "closed",
        shown=config.headers,
        step=site.step,
    )


class Costly(Limited, Protocol):
    """What those say of which a request may cost more than one."""

    @property
    def cost(self) -> Cost: ...
    @property
    def cost_from(self) -> CostFrom | None: ...
    @property
    def most(self) -> int: ...


def costed(config: Costly, found: Limiting) -> Limiting:
    """The same, each request for what it costs."""
    charge = None if config.cost_from is None else told_by(config.cost_from)
    return replace(found, cost=cost_of(config.cost, config.most), charge=charge)
