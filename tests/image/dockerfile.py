"""Reads our Dockerfile: the few instructions that stand in it, and no other. What it does not know it refuses.

Reference: https://docs.docker.com/reference/dockerfile/ (line continuation, comments, `ARG` before the first `FROM`).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = frozenset(
    {"FROM", "ARG", "ENV", "RUN", "COPY", "WORKDIR", "USER", "LABEL", "EXPOSE", "VOLUME", "STOPSIGNAL", "HEALTHCHECK"}
    | {"ENTRYPOINT", "CMD"}
)
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


class NotUnderstood(ValueError):
    """An instruction, or a form of one, that this reader does not know."""


@dataclass(frozen=True)
class Step:
    """`flags` are `--name=value`; `text` is the rest of the line."""

    instruction: str
    text: str
    flags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    base: str
    name: str
    steps: tuple[Step, ...]


def read(path: Path, given: Mapping[str, str] | None = None) -> list[Stage]:
    """`given` are build arguments, as of `--build-arg`."""
    arguments: dict[str, str] = {}
    stages: list[tuple[str, str, list[Step]]] = []
    for step in _steps(path.read_text()):
        if step.instruction == "FROM":
            base, *naming = substituted(step.text, arguments).split()
            name = naming[1] if len(naming) == 2 and naming[0].upper() == "AS" else str(len(stages))
            stages.append((base, name, []))
        elif not stages:
            if step.instruction != "ARG":
                raise NotUnderstood(f"{step.instruction} before FROM")
            arguments.update(argument(step.text, given or {}))
        else:
            stages[-1][2].append(step)
    return [Stage(base, name, tuple(steps)) for base, name, steps in stages]


def argument(text: str, given: Mapping[str, str]) -> dict[str, str]:
    name, _, default = text.partition("=")
    return {name: given.get(name, default)}


def pairs(text: str) -> dict[str, str]:
    """Of ENV and LABEL: NAME=VALUE, values in quotes where they have spaces."""
    return dict(each.split("=", 1) for each in shlex.split(text))


def words(text: str) -> list[str]:
    """The exec form of ENTRYPOINT, CMD, VOLUME and HEALTHCHECK, a JSON list."""
    if not text.startswith("["):
        raise NotUnderstood(f"{text}: write a JSON list, so that no shell is process 1")
    return [str(each) for each in json.loads(text)]


def substituted(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), text)


def _steps(text: str) -> Iterator[Step]:
    for line in _lines(text):
        instruction, _, rest = line.partition(" ")
        if instruction not in KNOWN:
            raise NotUnderstood(instruction)
        flags = {}
        while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        yield Step(instruction, rest.strip(), flags)


def _lines(text: str) -> Iterator[str]:
    whole = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or not (whole or line.strip()):
            continue
        whole += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield whole.strip()
            whole = ""
    if whole:
        raise NotUnderstood(f"{whole!r} goes on behind the end of the file")
