"""Rules of `pattern` and `body-pattern`: expressions that are matched in linear time, whatever they are given.

The engine has neither look-around nor back-references; an expression that needs them is refused when it is published
(CASES B56). Findings name the place and the rule, never what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core.errors import Detail
from gateway.schema.patterns import matcher

T = TypeVar("T")

LONGEST: Final = 1000  # characters of one expression
MOST: Final = 1000  # repetitions of a part: each is a state that is carried through the text
_COUNTS: Final = re.compile(r"(?<=[{,])[0-9]+(?=[,}])")


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    deny: str | None = Field(None, description="an expression that may not occur")
    allow: str | None = Field(None, description="an expression that must occur; write ^…$ for the whole")
    message: str = Field("", max_length=200, description="what a refused client is told")

    @field_validator("deny", "allow")
    @classmethod
    def _linear(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            if len(pattern) > LONGEST:
                raise ValueError(f"an expression has at most {LONGEST} characters")
            if any(int(count) > MOST for count in _COUNTS.findall(pattern)):
                raise ValueError(f"an expression repeats a part at most {MOST} times")
            matcher(pattern)
        return pattern

    @model_validator(mode="after")
    def _one(self) -> Rule:
        if (self.deny is None) == (self.allow is None):
            raise ValueError("a rule needs `deny` or `allow`, and not both")
        return self


def some(rules: tuple[T, ...]) -> tuple[T, ...]:
    """ValueError: there are none."""
    if not rules:
        raise ValueError("it needs at least one rule")
    return rules


def judge(rule: Rule) -> Callable[[str, str], Detail | None]:
    """A function of a place and the text there."""
    matches = matcher(rule.deny if rule.deny is not None else rule.allow or "")
    wanted = rule.deny is None
    message = rule.message or ("does not match what is allowed" if wanted else "holds what is not allowed")

    def check(place: str, text: str) -> Detail | None:
        return None if matches(text) is wanted else Detail(place, message, "pattern")

    return check


def found(details: Iterable[Detail | None]) -> list[Detail]:
    """Each finding once."""
    return list(dict.fromkeys(each for each in details if each is not None))
