"""Problems as JSON, for the frames between a worker and what hosts code for it, a policy host or a runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from gateway.core.errors import Detail, Problem
from gateway.core.policy_code import Headers
from gateway.frontend.rest.problems import dump

_ESCAPED: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")  # also whole pairs: there is no telling


def problem_message(problem: Problem) -> dict[str, Any]:
    """What is no JSON is spelled as a REST client would see it."""
    return {
        "status": problem.status,
        "title": _whole(problem.title),
        "code": _whole(problem.code),
        "detail": _whole(problem.detail),
        "target": None if problem.target is None else _whole(problem.target),
        "details": [[_whole(text) for text in (each.target, each.message, each.code)] for each in problem.details],
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in problem.headers],
        "extensions": _json(problem.extensions),
    }


def _json(values: dict[str, Any]) -> Any:
    text = dump(values)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # halves of surrogate pairs
        return orjson.loads(_ESCAPED.sub(b"?", text))


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which no UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()


def problem_from(told: Mapping[str, Any]) -> Problem:
    """The same problem again. ValueError, KeyError or TypeError for what is none: a status that refuses nothing, a
    field that no head can hold."""
    status = int(told["status"])
    if not 400 <= status <= 599:
        raise ValueError(f"a problem with the status {status}")
    fields = Headers()
    for name, value in told["headers"]:
        fields.add(text(name), text(value))
    target = told.get("target")
    problem = _problem_class(status, text(told["title"]), text(told["code"]))(
        text(told["detail"]),
        target=None if target is None else text(target),
        details=[Detail(*(text(part) for part in each)) for each in told.get("details", ())],
        headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields],
    )
    problem.extensions = dict(told.get("extensions", {}))
    return problem


@lru_cache(maxsize=1024)
def _problem_class(status: int, title: str, code: str) -> type[Problem]:
    return type("HostedProblem", (Problem,), {"status": status, "title": title, "code": code})


def text(value: Any) -> str:
    """TypeError for what is none."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
