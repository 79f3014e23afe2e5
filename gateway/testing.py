"""Trying a policy of one's own without a gateway.

trial = Trial(Tenants, header="X-Tenant")
assert trial.request("GET", "/orders/1").status == 400
passed = trial.request("GET", "/orders/1", headers={"X-Tenant": "acme"}, backend=Response(200, body=b"{}"))
assert passed.request.headers.get("X-Tenant-Checked") == "yes"
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.errors import Problem
from gateway.core.findings import DocumentsRefused, Finding
from gateway.core.identity import Identity
from gateway.core.policy_code import Headers, Request, Response
from gateway.runtime.policies import read_policy

__all__ = ["Outcome", "Trial"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request. `passed`: it reached the backend, as `request`. `response` is what the client gets; of a
    refusal it has the status alone, and `problem` is what was raised."""

    passed: bool
    request: Request
    response: Response
    problem: Problem | None = None

    @property
    def status(self) -> int:
        return self.response.status


class Trial:
    """An instance of a policy, configured by keyword. DocumentsRefused tells what is wrong with the class,
    pydantic.ValidationError what with the settings."""

    def __init__(self, target: type, /, **settings: Any) -> None:
        findings: list[Finding] = []
        read = read_policy(target, findings)
        if read is None:
            raise DocumentsRefused(findings)
        self.policy = read
        self._instance = read.make(read.config.model_validate(settings))

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        identity: Identity | None = None,
        client: str = "192.0.2.1",
        backend: Response | None = None,
    ) -> Outcome:
        """Sends a request through the policy. `backend` is what answers behind it; by default 200 without a body."""
        path, _, query = target.partition("?")
        mark = self.policy.mark
        seen = Request(
            method,
            path,
            query,
            Headers((headers or {}).items()),
            body if mark.body else None,
            client,
            id="trial",
            identity=identity,
        )
        try:
            answered = self._asked(seen)
            response = answered or backend or Response()
            if self.policy.has_response and answered is None:
                shown = Response(response.status, response.headers, response.body if mark.response_body else None)
                self._instance.response(seen, shown)
                body_now = shown.body if mark.response_body else response.body
                response = Response(shown.status, shown.headers, body_now)
        except Problem as problem:
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in problem.headers]
            return Outcome(False, seen, Response(problem.status, Headers(fields)), problem)
        return Outcome(answered is None, seen, response)

    def _asked(self, seen: Request) -> Response | None:
        """The policy's own answer."""
        if not self.policy.has_request:
            return None
        answered = self._instance.request(seen)
        if self.policy.asynchronous:
            answered = asyncio.run(asyncio.wait_for(answered, self.policy.mark.timeout))
        if answered is not None and not isinstance(answered, Response):
            raise TypeError(f"request() returned {type(answered).__name__}, not a Response or None")
        return answered
