"""`priority`: while a worker has more to do than it can, the less important calls are refused first.

    {use: priority, with: {critical: {application: billing}, high: {plan: gold}, low: {path: {prefix: /reports/}}}}

Each class takes a condition as `when` does; the first that holds is the call's class, `default` where none does. A
worker under pressure refuses `low` first, then `normal`, then `high`, with 503 and Retry-After; `critical` calls are
refused only with everybody else, when nothing more fits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.conditions import Condition, compile_condition, expressions, names_operation
from gateway.core.errors import Overloaded
from gateway.core.exchange import Exchange
from gateway.core.kinds import Built, Kind, Site
from gateway.core.pressure import Pressure

log: Final = logging.getLogger("gateway")

Class = Literal["critical", "high", "normal", "low"]
CLASSES: Final[tuple[Class, ...]] = ("critical", "high", "normal", "low")
REFUSED_FROM: Final[dict[Class, int]] = {"critical": 4, "high": 3, "normal": 2, "low": 1}  # pressure


class Priority(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    critical: dict[str, Any] | None = Field(None, description="a condition, as `when` takes it")
    high: dict[str, Any] | None = Field(None, description="a condition")
    normal: dict[str, Any] | None = Field(None, description="a condition")
    low: dict[str, Any] | None = Field(None, description="a condition")
    default: Class = Field("normal", description="the class of calls for which no condition holds")

    @field_validator(*CLASSES)
    @classmethod
    def _readable(cls, condition: dict[str, Any] | None) -> dict[str, Any] | None:
        if condition is not None:
            if any(expressions(condition)):
                raise ValueError("`cel` is too slow for a worker with too much to do; write a structured condition")
            compile_condition(condition, "condition")
        return condition


def build(config: Priority, site: Site) -> Built:
    watch = site.services.find(Pressure)  # type: ignore[type-abstract]  # asked for by what it does
    if watch is None:
        return Built()  # where nothing is served nothing is too much
    pressure = watch.pressure
    class_of = _chooser(config)

    def admit(exchange: Exchange) -> None:
        level = pressure()
        if level and level >= REFUSED_FROM[chosen := class_of(exchange)]:
            raise Overloaded(f"Calls of the class `{chosen}` are not taken now.", headers=[(b"Retry-After", b"1")])

    return Built(step=admit)


def _chooser(config: Priority) -> Callable[[Exchange], Class]:
    given = {name: getattr(config, name) for name in CLASSES}
    conditions = [(name, compile_condition(given[name], name)) for name in CLASSES if given[name] is not None]

    def class_of(exchange: Exchange) -> Class:
        return next((name for name, condition in conditions if _holds(condition, exchange)), config.default)

    return class_of


def _holds(condition: Condition, exchange: Exchange) -> bool:
    """A condition that errs raises nobody's class."""
    try:
        return condition(exchange)
    except Exception as error:
        log.error("request %s: a condition of `priority` failed", exchange.id, exc_info=error)
        return False


KIND = Kind(
    "priority",
    Priority,
    build,
    summary="Refuses the less important first while there is too much to do",
    family="traffic",
    example={"high": {"plan": "gold"}, "low": {"header": {"X-Batch": {"present": True}}}},
    by_operation_of=lambda config: any(names_operation(config.get(name)) for name in CLASSES),
)
