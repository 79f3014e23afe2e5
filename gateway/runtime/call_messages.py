"""Calls, their contexts and problems as JSON, for the frames between a gateway and a runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from gateway.core.call import Context
from gateway.core.errors import Detail, Problem
from gateway.frontend.rest.problems import dump
from gateway.runtime.policy_messages import identity_from, identity_message

_ESCAPED: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")  # also whole pairs: there is no telling
_PLAIN: Final = ("call_id", "component", "version", "operation", "protocol", "attempt", "message_id", "traceparent")


def context_message(context: Context) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(context, name) for name in _PLAIN}
    told["identity"] = identity_message(context.identity)
    told["properties"] = dict(context.properties)
    return told


def context_from(told: Mapping[str, Any]) -> Context:
    """KeyError, TypeError or ValueError for what is none."""
    return Context(
        **{name: told[name] for name in _PLAIN},
        identity=identity_from(told["identity"]),
        properties=dict(told["properties"]),
    )


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
    """The same problem again. ValueError, KeyError or TypeError for what is none."""
    status = int(told["status"])
    if not 400 <= status <= 599:
        raise ValueError(f"a problem with the status {status}")
    problem = _problem_class(status, _text(told["title"]), _text(told["code"]))(
        _text(told["detail"]),
        target=None if told["target"] is None else _text(told["target"]),
        details=[Detail(_text(target), _text(message), _text(code)) for target, message, code in told["details"]],
        headers=[(_text(name).encode("latin-1"), _text(value).encode("latin-1")) for name, value in told["headers"]],
    )
    problem.extensions = dict(told["extensions"])
    return problem


@lru_cache(maxsize=1024)
def _problem_class(status: int, title: str, code: str) -> type[Problem]:
    return type("ProcessProblem", (Problem,), {"status": status, "title": title, "code": code})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
