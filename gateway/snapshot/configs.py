"""Configurations of steps and backends against the models of their kinds; each finding names its place. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from gateway.core.conditions import compile_condition
from gateway.core.findings import Finding, Place
from gateway.core.kinds import Kinds
from gateway.snapshot.spec import StepSpec

_PLACE = re.compile(r"^(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?(?: \((?P<path>.*)\))?$")


def place_of(text: str) -> Place:
    """`shop.yaml:12:3 (rest)` as a place; anything else is a key path."""
    match = _PLACE.match(text)
    if match is None:
        return Place(path=text)
    return Place(match["file"], int(match["line"]), int(match["column"] or 0), match["path"] or "")


def check_config(model: type[BaseModel], config: Mapping[str, Any], place: Place, what: str) -> list[Finding]:
    """What is wrong with a configuration, in words."""
    try:
        model.model_validate(config)
    except ValidationError as error:
        return [
            _finding(dict(each), place, what, _known(model, each["loc"]))
            for each in error.errors(include_url=False, include_input=False)
        ]
    return []


def _known(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """What the model takes in which the setting at `loc` stands."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field is not None else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _finding(error: Mapping[str, Any], place: Place, what: str, known: list[str]) -> Finding:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), known, 1)
        hint = f"Did you mean `{near[0]}`?" if near else f"It takes: {', '.join(known) or 'nothing'}."
        return Finding(place, "unknown_setting", f"{what} has no setting `{where}`.", hint)
    if error["type"] == "missing":
        return Finding(place, "missing_setting", f"{what} needs `{where}`.", "Add it under `with`.")
    message = str(error["msg"]).removeprefix("Value error, ")
    subject = f"{what}, `{where}`" if where else what
    return Finding(place, "invalid_setting", f"{subject}: {message.rstrip('.')}.")


def check_steps(steps: Iterable[StepSpec], kinds: Kinds) -> list[Finding]:
    """Unknown kinds, configurations and conditions that do not fit."""
    findings: list[Finding] = []
    for step in steps:
        place = place_of(step.place)
        kind = kinds.get(step.use)
        if kind is None:
            near = difflib.get_close_matches(step.use, kinds, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(sorted(kinds))}."
            findings.append(Finding(place, "unknown_kind", f"There is no policy kind `{step.use}`.", hint))
            continue
        findings += check_config(kind.config, step.config, place, f"`{step.use}`")
        if step.when is not None:
            findings += _check_condition(step, place)
    return findings


def _check_condition(step: StepSpec, place: Place) -> list[Finding]:
    try:
        compile_condition(step.when or {})
    except ValueError as error:
        return [Finding(place, "invalid_condition", f"`when` of the step `{step.id}`: {error}")]
    return []
