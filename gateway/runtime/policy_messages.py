"""Requests and responses of policies as JSON, for the frames between a worker and a policy host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.identity import Identity
from gateway.core.policy_code import Headers, Request, Response
from gateway.runtime.problem_messages import text

_PLAIN = ("method", "path", "query", "client", "id", "component", "version", "endpoint", "protocol")


def request_message(request: Request) -> dict[str, Any]:
    """Without its body, which goes along as bytes."""
    identity = request.identity
    told: dict[str, Any] = {name: getattr(request, name) for name in _PLAIN}
    told["headers"] = list(request.headers)
    told["body"] = request.body is not None
    if identity is not None:
        told["identity"] = identity_message(identity)
    return told


def request_from(told: Mapping[str, Any], body: bytes) -> Request:
    identity = told.get("identity")
    return Request(
        **{name: told[name] for name in _PLAIN},
        headers=Headers((name, value) for name, value in told["headers"]),
        body=body if told["body"] else None,
        identity=None if identity is None else identity_from(identity),
    )


def identity_message(identity: Identity) -> dict[str, Any]:
    return {
        "subject": identity.subject,
        "method": identity.method,
        "application": identity.application,
        "plan": identity.plan,
        "credential": identity.credential,
        "scopes": sorted(identity.scopes),
        "claims": dict(identity.claims),
        "roles": sorted(identity.roles),
    }


def identity_from(told: Mapping[str, Any]) -> Identity:
    return Identity(**{**told, "scopes": frozenset(told["scopes"]), "roles": frozenset(told["roles"])})


def edits_message(request: Request) -> dict[str, Any]:
    """What a policy may have changed of a request."""
    told: dict[str, Any] = {"path": request.path, "query": request.query, **_fields(request.headers)}
    if request.admitted is not None:
        told["admitted"] = identity_message(request.admitted)
    return told


def apply_edits(request: Request, told: Mapping[str, Any], body: bytes | None) -> None:
    """Makes the same changes to the worker's own. ValueError, KeyError or TypeError for what is none."""
    request.path, request.query = text(told["path"]), text(told["query"])
    _edit(request.headers, told)
    if body is not None:
        request.body = body
    if (admitted := told.get("admitted")) is not None:
        request.admit(
            text(admitted["subject"]),
            application=admitted["application"],
            plan=admitted["plan"],
            scopes=admitted["scopes"],
            claims=admitted["claims"],
        )


def response_message(response: Response) -> dict[str, Any]:
    return {"status": response.status, "headers": list(response.headers), "body": response.body is not None}


def response_from(told: Mapping[str, Any], body: bytes) -> Response:
    fields = Headers((text(name), text(value)) for name, value in told["headers"])
    return Response(int(told["status"]), fields, body if told["body"] else None)


def response_edits(response: Response) -> dict[str, Any]:
    return {"status": response.status, **_fields(response.headers)}


def apply_response_edits(response: Response, told: Mapping[str, Any], body: bytes | None) -> None:
    response.status = int(told["status"])
    _edit(response.headers, told)
    if body is not None:
        response.body = body


def _fields(fields: Headers) -> dict[str, Any]:
    return {"dropped": fields.dropped, "added": fields.added}


def _edit(fields: Headers, told: Mapping[str, Any]) -> None:
    for name in told["dropped"]:
        fields.remove(text(name))
    for name, value in told["added"]:
        fields.add(text(name), text(value))
