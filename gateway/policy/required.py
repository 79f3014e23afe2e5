"""What must be held to run an operation: some words of all those that are, by operation or endpoint.

A rule is a list (all of it) or `{all: […], any: […]}`. The endpoint's own rule counts, else that of the operation that
runs, else the one for everything else; a rule takes the place of the wider one and does not add to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.core.exchange import Exchange

Words = frozenset[str]


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    all: tuple[str, ...] = Field((), description="every one of these")
    any: tuple[str, ...] = Field((), description="and at least one of these")

    def met_by(self, held: Words) -> bool:
        return held.issuperset(self.all) and (not self.any or not held.isdisjoint(self.any))


def _listed(given: object) -> object:
    return {"all": given} if isinstance(given, list | tuple) else given


RuleOf = Annotated[Rule, BeforeValidator(_listed)]
NOTHING: Final = Rule()


class Required(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    all: tuple[str, ...] = Field((), description="every one of these, where nothing below says otherwise")
    any: tuple[str, ...] = Field((), description="and at least one of these")
    operations: dict[str, RuleOf] = Field(default_factory=dict, description="by operation or entity set")
    endpoints: dict[str, RuleOf] = Field(default_factory=dict, description="by endpoint, such as GET /orders/{id}")
    others: Literal["deny", "allow"] = Field(
        "deny", description="what is not listed, where neither `all` nor `any` is given"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Required:
        if not (self.all or self.any or self.operations or self.endpoints):
            raise ValueError("say what is required: `all`, `any`, `operations` or `endpoints`")
        if self.others == "allow" and (self.all or self.any):
            raise ValueError("`all` and `any` are for what is not listed; `others` says nothing beside them")
        for words in (self.all, self.any, *(each.all + each.any for each in self._rules())):
            if "" in words:
                raise ValueError("an empty word is held by nobody")
        return self

    def _rules(self) -> list[Rule]:
        return [*self.operations.values(), *self.endpoints.values()]


def named(config: Mapping[str, Any]) -> tuple[Collection[str], Collection[str]]:
    """The operations and endpoints that a configuration, as it is written, has rules for."""
    return tuple(config.get("operations") or ()), tuple(config.get("endpoints") or ())


def chooser(config: Required) -> Callable[[Exchange], Rule | None]:
    """A function that gives the rule of the endpoint and operation that run. None: nobody may run it."""
    general = Rule(all=config.all, any=config.any) if config.all or config.any else None
    if general is None and config.others == "allow":
        general = NOTHING
    endpoints, operations = config.endpoints, config.operations
    if not endpoints and not operations:
        return lambda _exchange: general

    def choose(exchange: Exchange) -> Rule | None:
        facts = exchange.chain.facts
        rule = endpoints.get(facts.get("endpoint", ""))
        return rule if rule is not None else operations.get(facts.get("operation", ""), general)

    return choose
