"""Configurations of steps and backends against the models of their kinds; each finding names its place. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from gateway.core.conditions import compile_condition
from gateway.core.findings import Finding, Place
from gateway.core.kinds import Kind, Kinds
from gateway.manifest import texts
from gateway.manifest.plain_words import needed
from gateway.snapshot.spec import StepSpec
from gateway.snapshot.stages import held

Loc = tuple[int | str, ...]

_PLACE = re.compile(r"^(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?(?: \((?P<path>.*)\))?$")


def place_of(text: str) -> Place:
    """`shop.yaml:12:3 (rest)` as a place; anything else is a key path."""
    match = _PLACE.match(text)
    if match is None:
        return Place(path=text)
    return Place(match["file"], int(match["line"]), int(match["column"] or 0), match["path"] or "")


def check_config(model: type[BaseModel], config: Mapping[str, Any], place: Place, what: str) -> list[Finding]:
    """What is wrong with a configuration, in words."""
    if (file := texts.missing(config)) is not None:
        hint = "Publish it with penstock from the folder that holds the file, or write {$text: …}."
        return [Finding(place, "include", f"{what}: the file {file} cannot be included here.", hint)]
    try:
        model.model_validate(texts.plain(config))
    except ValidationError as error:
        found = [
            _finding(dict(each), place, what, model) for each in error.errors(include_url=False, include_input=False)
        ]
        return list(dict.fromkeys(found))
    return []


def _owner(model: type[BaseModel], loc: Loc) -> type[BaseModel]:
    """The model in which the setting at `loc` stands."""
    for part in loc[:-1]:
        field = next((each for name, each in model.model_fields.items() if (each.alias or name) == str(part)), None)
        inner = list(_models(field.annotation)) if field is not None else []
        if len(inner) == 1:
            model = inner[0]
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a setting may hold, by itself, as an alternative, or as items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)


def _choices(model: type[BaseModel], loc: Loc) -> tuple[str, str]:
    """(setting, what it takes) when `loc` speaks of one branch of a union that has models in it."""
    for at, part in enumerate(loc):
        field = _owner(model, loc[: at + 1]).model_fields.get(str(part))
        united = field is not None and get_origin(field.annotation) in (Union, UnionType) and at + 1 < len(loc)
        branches = get_args(field.annotation) if field is not None and united else ()
        models = [each for each in branches if isinstance(each, type) and issubclass(each, BaseModel)]
        if models and len([each for each in branches if each is not type(None)]) > 1:
            words = [str(word) for each in branches if get_origin(each) is Literal for word in get_args(each)]
            maps = [f"{{{', '.join(f'{name}: …' for name in each.model_fields)}}}" for each in models]
            return ".".join(str(each) for each in loc[: at + 1]), ", ".join([*words, *maps])
    return "", ""


def _finding(error: Mapping[str, Any], place: Place, what: str, model: type[BaseModel]) -> Finding:
    where, choices = _choices(model, error["loc"])
    if choices:
        return Finding(place, "invalid_setting", f"{what}, `{where}`: it is none of {choices}.")
    where = ".".join(str(part) for part in error["loc"])
    known = [field.alias or name for name, field in _owner(model, error["loc"]).model_fields.items()]
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), known, 1)
        hint = f"Did you mean `{near[0]}`?" if near else f"It takes: {', '.join(known) or 'nothing'}."
        return Finding(place, "unknown_setting", f"{what} has no setting `{where}`.", hint)
    if error["type"] == "missing":
        return Finding(place, "missing_setting", f"{what} needs `{where}`.", "Add it under `with`.")
    wanted = needed(error["type"])
    message = f"it must be {wanted}" if wanted else str(error["msg"]).removeprefix("Value error, ")
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
        named = step.id.partition("/")[0]
        what = f"`{step.use}` of the policy `{named}`" if "/" in step.id else f"`{step.use}`"
        findings += check_config(kind.config, step.config, place, what)
        findings += _check_held(kind, step, kinds, place, what)
        if step.when is not None:
            findings += _check_condition(step, place)
    return findings


def _check_held(kind: Kind[Any], step: StepSpec, kinds: Kinds, place: Place, what: str) -> list[Finding]:
    """The steps that a step holds: of the same family, none of which holds others."""
    findings: list[Finding] = []
    offered = sorted(name for name, each in kinds.items() if each.family == kind.family and not each.holds)
    for index, use, config in held(kind.holds, step.config):
        where = f"{what}, `{kind.holds}.{index}`"
        if use in offered:
            findings += check_config(kinds[use].config, config, place, f"{where} (`{use}`)")
        elif use:
            near = difflib.get_close_matches(use, offered, 1)
            hint = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(offered)}."
            message = f"{where}: `{use}` is no kind of {kind.family} that can stand here."
            findings.append(Finding(place, "unknown_kind", message, hint))
    return findings


def condition_fits(when: Mapping[str, Any] | None) -> bool:
    try:
        return when is None or compile_condition(when) is not None
    except ValueError:
        return False


def _check_condition(step: StepSpec, place: Place) -> list[Finding]:
    try:
        compile_condition(step.when or {})
    except ValueError as error:
        return [Finding(place, "invalid_condition", f"`when` of the step `{step.id}`: {error}")]
    return []
